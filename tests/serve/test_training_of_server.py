"""Fine-tuning on the labels: in a process of its own, of which one sees how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from serve_cases import SIZE, half, photos, rle, services_for

import toolkit
from toolkit import registry
from toolkit.config import Scale
from toolkit.errors import ConfigError
from toolkit.serve import training
from toolkit.serve.errors import RequestError
from toolkit.serve.models import ListedModel
from toolkit.serve.services import Services

PRETENDS = """
import json, pathlib, signal, sys, time
words = sys.argv[1:]
run = pathlib.Path(words[words.index("--out") + 1])
run.mkdir()
(run / "recipe.yaml").write_text(pathlib.Path(words[words.index("--config") + 1]).read_text())
(run / "config.yaml").write_text("train: {steps: 40}")
with (run / "metrics.jsonl").open("w") as file:
    for step in (10, 20):
        print(json.dumps({"step": step, "loss": 1 / step, "lr": 0.1}), file=file)
    print(json.dumps({"step": 20, "val/iou": 0.5, "val/loss": None}), file=file)
print("line of the log", flush=True)
MODE
"""
"""A program in the place of ``toolkit train``."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Path:
    """A run of the plugin ``tiny``, which is in a file."""
    registry.add_path(tiny)
    out = tmp_path_factory.mktemp("trained") / "first"
    return toolkit.train({"train.steps": 1}, out, plugin="tiny", data="squares", progress=False).run


@pytest.fixture
def served(tmp_path: Path, run: Path, tiny: str) -> tuple[Services, ListedModel]:
    """The services over labeled images, with the run."""
    registry.add_path(tiny)
    photos(tmp_path / "photos")
    options: dict[str, Any] = {"predictor": {"device": "cpu"}, "plugins": {"tiny": tiny}}
    services = services_for(tmp_path, new_runs=tmp_path / "runs", **options)
    (tmp_path / "runs").mkdir()
    assert services.labels is not None
    for name in services.labels.images.names():
        services.labels.put(name, [{"category": "square", "rle": rle(half(SIZE))}], None)
    services.models.load(run)
    return services, services.models.listed("first")


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, mode: str) -> None:
    program = folder / "program.py"
    program.write_text(PRETENDS.replace("MODE", mode))
    monkeypatch.setattr(training, "PROGRAM", (sys.executable, str(program)))


def eventually(state: Callable[[], dict[str, Any]], *wanted: str, seconds: float = 60) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while (found := state())["state"] not in wanted:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_a_real_one_is_trained_and_served(served: tuple[Services, ListedModel], tmp_path: Path) -> None:
    services, model = served
    assert services.trainer is not None
    assert services.trainer.state() == {"state": "idle"}
    settings = {"train.steps": 4, "train.log_every": 2, "train.lr": 0.01}
    services.trainer.start(model, "second", settings)
    found = eventually(services.trainer.state, "done", "failed")
    assert found["state"] == "done", found["log"]
    assert found["result"] == "second"
    assert found["step"] == found["steps"] == 4
    assert [step for step, _ in found["losses"]] == [2, 4]
    assert "mean_iou" in found["validation"][-1]
    assert any("Trained 4 steps" in line for line in found["log"])
    assert services.models.names == ("first", "second")
    config = (tmp_path / "runs" / "second" / "config.yaml").read_text()
    assert "lr: 0.01\n" in config
    assert "name: coco" in config
    new = services.models.listed("second")
    assert new.about["kind"] == "semantic"
    assert new.loaded is not None
    assert new.loaded.predictor.classes == ("background", "square"), "named as the labels"
    assert new.run is not None


def test_one_at_a_time_which_can_be_stopped(
    served: tuple[Services, ListedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, model = served
    assert services.trainer is not None
    pretend(monkeypatch, tmp_path, "time.sleep(60)")
    services.trainer.start(model, "second", {})
    while services.trainer.state()["step"] < 20:
        time.sleep(0.02)
    found = services.trainer.state()
    assert found["state"] == "running"
    assert found["losses"] == [[10, 0.1], [20, 0.05]]
    assert found["validation"] == [{"step": 20, "iou": 0.5, "loss": None}]
    assert found["steps"] == 40
    with pytest.raises(RequestError, match="second is being trained") as caught:
        services.trainer.start(model, "third", {})
    assert caught.value.status_code == 409
    services.trainer.stop()
    assert eventually(services.trainer.state, "stopped")["log"] == ["line of the log"]
    output = tmp_path / "runs" / "second" / "output.log"
    while not output.exists():
        time.sleep(0.02)
    assert output.read_text() == "line of the log\n"
    assert services.trainer.state()["log"] == ["line of the log"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["second"], "nothing hidden is left"
    services.trainer.stop()
    assert services.models.names == ("first",)
    with pytest.raises(RequestError, match="something called second already"):
        services.trainer.start(model, "second", {})


@pytest.mark.parametrize("ends", ["raise SystemExit('error: it broke')", "pass"])
def test_a_failure_says_why(
    served: tuple[Services, ListedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Of the training, or of loading its run."""
    services, model = served
    assert services.trainer is not None
    pretend(monkeypatch, tmp_path, ends)
    services.trainer.start(model, "second", {})
    found = eventually(services.trainer.state, "failed", "done")
    assert found["state"] == "failed"
    assert found["result"] == ""
    assert "it broke" in found["log"][-1] if "broke" in ends else "checkpoint" in found["error"]
    assert services.models.names == ("first",)
    assert not list((tmp_path / "runs").glob(".*.yaml")), "the recipe is removed"


def test_the_end_of_the_server_ends_it(
    served: tuple[Services, ListedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, model = served
    assert services.trainer is not None
    pretend(monkeypatch, tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")
    monkeypatch.setattr(training, "KILL_SECONDS", 0.2)
    services.trainer.start(model, "second", {})
    while services.trainer.state()["step"] < 20:
        time.sleep(0.02)
    services.trainer.close()
    assert services.trainer.state()["state"] == "stopped"


def test_the_recipe_continues_from_the_run(
    served: tuple[Services, ListedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path
) -> None:
    services, model = served
    assert services.trainer is not None
    pretend(monkeypatch, tmp_path, "raise SystemExit(1)")
    monkeypatch.setattr(training, "scale_of_run", lambda manifest, path: Scale(range=(0, 4095)))
    services.trainer.start(model, "second", {"train.steps": 7, "train.freeze": ["*", "!net"]})
    eventually(services.trainer.state, "failed")
    recipe = (tmp_path / "runs" / "second" / "recipe.yaml").read_text()
    assert f"weights: {run}" in recipe
    assert "steps: 7" in recipe
    assert "'!net'" in recipe
    assert f"dir: {tmp_path / 'photos-labels'}" in recipe
    assert yaml.safe_load(recipe)["data"]["options"]["scale"]["range"] == [0, 4095]


@pytest.mark.parametrize("name", ["", "..", "../out", "a/b", ".hidden", "a b", "x" * 65, "a\0"])
def test_names_that_lead_elsewhere(served: tuple[Services, ListedModel], name: str) -> None:
    services, model = served
    assert services.trainer is not None
    with pytest.raises(RequestError, match="cannot be the name of a run") as caught:
        services.trainer.start(model, name, {})
    assert caught.value.status_code == 422


@pytest.mark.parametrize(
    "key", ["weights", "data.dir", "model.width", "train.loggers", "steps", "train.device"]
)
def test_settings_that_reach_files_cannot_be_set(served: tuple[Services, ListedModel], key: str) -> None:
    services, model = served
    assert services.trainer is not None
    with pytest.raises(RequestError, match="cannot be set here"):
        services.trainer.start(model, "second", {key: "x"})


def test_wrong_values_are_refused_before_anything_is_started(
    served: tuple[Services, ListedModel], tmp_path: Path
) -> None:
    services, model = served
    assert services.trainer is not None
    with pytest.raises(ConfigError, match=r"train.steps"):
        services.trainer.start(model, "second", {"train.steps": -1})
    assert services.trainer.state() == {"state": "idle"}
    assert not list((tmp_path / "runs").iterdir())


def test_without_objects_there_is_nothing_to_train_on(
    served: tuple[Services, ListedModel], tmp_path: Path
) -> None:
    services, model = served
    assert services.trainer is not None
    assert services.labels is not None
    for name in services.labels.images.names():
        services.labels.put(name, [], None)
    with pytest.raises(RequestError, match="no labels to train on"):
        services.trainer.start(model, "second", {})
