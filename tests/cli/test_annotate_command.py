"""`toolkit annotate`, as words on a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.annotated import predictor

import toolkit.inference
from toolkit.annotate import cvat_tasks, label_studio_routes
from toolkit.cli import main
from toolkit.formats.label_config import parse_config


@pytest.fixture(autouse=True)
def _runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose names say what they find."""
    monkeypatch.setattr(toolkit.inference, "load", lambda run, **_: predictor(run))


def test_instructions_for_cvat(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "cvat", "masks"]) == 0
    out = capsys.readouterr().out
    assert '[{"name": "cat", "type": "any", "attributes": []}' in out
    assert "--function-module toolkit.annotate.cvat -p run=str:masks" in out


def test_a_task_of_cvat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        cvat_tasks, "annotate_task", lambda *args, **options: calls.append((args[1:], options))
    )
    words = ["annotate", "cvat", "masks", "--server", "https://cvat.example.org", "--task", "7"]
    assert main([*words, "--above", "0.5", "--polygons", "--unmatched", "--organization", "lab"]) == 0
    assert capsys.readouterr().out == "task 7 of https://cvat.example.org is annotated\n"
    options = {"above": 0.5, "polygons": True, "replace": False, "unmatched": True, "organization": "lab"}
    assert calls == [(("https://cvat.example.org", 7), options)]


def test_a_backend_of_label_studio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(label_studio_routes, "run_server", lambda *args: served.append(args))
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "secret")
    monkeypatch.delenv("TOOLKIT_ANNOTATE_PASSWORD", raising=False)
    words = [
        "annotate",
        "label-studio",
        "semantic",
        "--files",
        str(tmp_path),
        "--allow-host",
        "a.example.org",
    ]
    assert main([*words, "--port", "9191"]) == 0
    ((app, host, port),) = served
    assert (host, port) == ("127.0.0.1", 9191)
    out = capsys.readouterr().out
    assert "served at http://127.0.0.1:9191" in out
    config = parse_config(out[out.index("<View>") :], "x")
    assert config.labels == ("cat", "dog")
    page = TestClient(app, base_url="http://localhost:9191")
    assert page.get("/health").json()["model_class"] == "semantic model"
    assert "secret" not in out


def test_other_machines_need_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(label_studio_routes, "run_server", lambda *args: served.append(args))
    monkeypatch.delenv("TOOLKIT_ANNOTATE_PASSWORD", raising=False)
    words = ["annotate", "label-studio", "masks", "--host", "0.0.0.0"]
    assert main(words) == 2
    assert "needs a password" in capsys.readouterr().err
    assert served == []
    monkeypatch.setenv("TOOLKIT_ANNOTATE_PASSWORD", "pass")
    assert main(words) == 0
    page = TestClient(served[0][0])
    assert page.get("/health").status_code == 401
    assert page.get("/health", auth=("a", "pass")).status_code == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: TOOL"),
        (["cvat"], "required: RUN"),
        (["cvat", "masks", "--task", "7"], "--server and --task belong together"),
        (["cvat", "masks", "--server", "https://a"], "--server and --task belong together"),
        (["cvat", "masks", "--above", "1.5"], "must be a number from 0 to 1, not '1.5'"),
        (["cvat", "masks", "--above", "nan"], "must be a number from 0 to 1"),
        (["vott", "masks"], "vott"),
        (["label-studio", "masks", "--files", "/no/such/folder"], "--files /no/such/folder is not a folder"),
        (["label-studio", "masks", "--port", "0"], "--port"),
    ],
)
def test_wrong_words(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", *words]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_without_a_way_to_sign_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (cvat_tasks.TOKEN, cvat_tasks.USER, cvat_tasks.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    assert main(["annotate", "cvat", "masks", "--server", "https://a", "--task", "7"]) == 2
    assert "no way to sign in to CVAT" in capsys.readouterr().err
