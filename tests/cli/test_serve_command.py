"""``toolkit serve``."""

from __future__ import annotations

import builtins
import re
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.commands import Command

import toolkit
from toolkit import registry
from toolkit.cli import main, parse
from toolkit.serve.running import RunningServer


@pytest.fixture
def run(tmp_path: Path, tiny: str) -> Path:
    registry.add_path(tiny)
    return toolkit.train(
        {"train.steps": 1}, tmp_path / "run", plugin="tiny", data="squares", progress=False
    ).run


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, run: Path, tiny: str, no_proxy: None) -> None:
    (tmp_path / "photos").mkdir()
    command = Command(
        "serve", str(run), "--plugin", tiny, "--images", str(tmp_path / "photos"), "--port", "0"
    )
    address = None
    while address is None:
        assert command.poll() is None, command.communicate()
        address = re.search(r"http://127.0.0.1:\d+/", command.written())
        time.sleep(0.02)
    models = httpx.get(f"{address[0]}api/models", timeout=60).json()
    assert [model["name"] for model in models] == ["run"]
    assert (tmp_path / "photos-labels" / ".toolkit.lock").exists()
    command.send_signal(signal.SIGTERM)
    output, errors = command.communicate()
    assert command.returncode == 0, errors
    assert "photos-labels" in output
    assert not (tmp_path / "photos-labels").exists(), "nothing was labeled"


def test_options_reach_the_server(
    run: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[RunningServer] = []
    monkeypatch.setattr(RunningServer, "run", lambda self: seen.append(self))
    words = ["--host", "0.0.0.0", "--port", "0", "--max-body", "3", "--max-pixels", "5", "--sessions", "2"]
    assert main(["serve", str(run), "--plugin", tiny, *words, "--batch-size", "7", "--device", "cpu"]) == 0
    (server,) = seen
    server.socket.close()
    limits = server.options.limits
    assert (limits.body_bytes, limits.pixels, limits.sessions, limits.batch_size) == (
        3 << 20,
        5_000_000,
        2,
        7,
    )
    assert server.options.plugins == {"tiny": tiny}
    assert len(server.options.token) > 20
    assert f"?token={server.options.token}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "none"),
        (["RUN", "--images", "nowhere"], "--images nowhere is not a folder"),
        (["RUN", "--labels", "x"], "add --images"),
        (["RUN", "--port", "99999"], "up to 65535"),
        (["RUN", "--device", "quantum"], "device"),
    ],
)
def test_what_cannot_be_served_is_said(
    run: Path, tiny: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(run) if word == "RUN" else word for word in words]
    assert main(["serve", "--plugin", tiny, "--port", "0", *given]) in (1, 2)
    assert message in capsys.readouterr().err


def test_without_the_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "uvicorn":
            raise ImportError("No module named 'uvicorn'")
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["serve", "run"]) == 2
    error = capsys.readouterr().err
    assert "needs the extra serve" in error
    assert "'uvicorn>=0.30'" in error


def test_help_needs_no_extra() -> None:
    args = parse(["serve", "a", "b"])
    assert args.runs == ["a", "b"]
    assert (args.host, args.port) == ("127.0.0.1", 8000)
