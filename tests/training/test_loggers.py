"""Loggers beside the run's own: what they get, and what is said where one is not installed."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from toolkit.config import RunSettings, resolve
from toolkit.config.tree import flat_items
from toolkit.errors import ConfigError, NonFiniteLossError, UnavailableError
from toolkit.training.loggers import make_loggers
from toolkit.training.loop import train


def settings(tiny: str, *words: str) -> RunSettings:
    few = ["train.device=cpu", "train.steps=2", "train.log_every=1", "train.eval_every=2"]
    return resolve(plugin=tiny, data=tiny, overrides=[*few, *words])


def test_fabrics_csv_logger_gets_all_figures(tiny: str, tmp_path: Path) -> None:
    train(settings(tiny, "train.loggers=csv"), tmp_path / "run")
    with (tmp_path / "run" / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["step"] for row in rows} == {"1", "2"}
    assert any(row["val/mean_iou"] for row in rows)
    assert all(float(row["loss"]) > 0 for row in rows if row["loss"])


def test_without_any_nothing_is_made(tiny: str, tmp_path: Path) -> None:
    assert make_loggers(settings(tiny), tmp_path) == []


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_what_is_missing_is_named_with_what_installs_it(
    name: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UnavailableError, match=rf"names {name}.*Hint: pip install 'detseg-toolkit\[{name}\]'"
    ):
        train(settings(tiny, f"train.loggers=[{name}]"), tmp_path / "run")
    assert train(settings(tiny), tmp_path / "run").finished, "and the folder is in nobody's way"


def test_an_unknown_one_lists_those_there_are(tiny: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.loggers\.0: expected 'csv', 'wandb' or 'mlflow'"):
        settings(tiny, "train.loggers=[comet]")


class Client:
    """What the logger uses of MLflow's client, as a record of calls."""

    is_gone = False

    def __init__(self) -> None:
        self.metrics: list[tuple[str, float, int, int]] = []
        self.params: dict[str, Any] = {}
        self.status = ""

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return "1"

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        assert experiment == "1"
        return SimpleNamespace(info=SimpleNamespace(run_id=f"id of {run_name}"))

    def log_batch(self, run: str, metrics: list[tuple[str, float, int, int]]) -> None:
        assert run == "id of run"
        if self.is_gone:
            raise ConnectionError("the server is gone")
        self.metrics += metrics

    def log_param(self, run: str, name: str, value: object) -> None:
        self.params[name] = value

    def set_terminated(self, run: str, status: str) -> None:
        self.status = status


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """In place of MLflow's."""
    client, module, entities = Client(), ModuleType("mlflow"), ModuleType("mlflow.entities")
    monkeypatch.setattr(module, "MlflowClient", lambda: client, raising=False)
    monkeypatch.setattr(entities, "Metric", lambda *values: values, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return client


def test_mlflow_gets_settings_figures_and_the_end(tiny: str, tmp_path: Path, client: Client) -> None:
    train(settings(tiny, "train.loggers=[mlflow]"), tmp_path / "run")
    assert client.params["train.steps"] == 2
    assert client.status == "FINISHED"
    assert {step for name, _, _, step in client.metrics if name == "loss"} == {1, 2}
    assert any(name == "val.mean_iou" for name, _, _, _ in client.metrics)


def test_a_run_that_fails_is_a_failure_there_too(tiny: str, tmp_path: Path, client: Client) -> None:
    with pytest.raises(NonFiniteLossError, match="is nan"):
        train(settings(tiny, "train.loggers=[mlflow]", "model.poison=train/"), tmp_path / "run")
    assert client.status == "FAILED"


def test_a_server_that_goes_away_is_a_warning_and_stops_nothing(
    tiny: str, tmp_path: Path, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.is_gone = True
    with caplog.at_level("WARNING", logger="toolkit"):
        assert train(settings(tiny, "train.loggers=[mlflow,csv]"), tmp_path / "run").finished
    (warning,) = [message for message in caplog.messages if "gone" in message]
    assert warning.startswith("warning: MlflowLogger failed: the server is gone. It is turned off")
    assert (tmp_path / "run" / "csv" / "version_0" / "metrics.csv").is_file(), "the other one goes on"


def test_a_server_that_does_not_answer_stops_the_run_before_it_leaves_anything(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise ConnectionError("nobody at http://127.0.0.1:1\nand more")

    module = ModuleType("mlflow")
    monkeypatch.setattr(module, "MlflowClient", fails, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    with pytest.raises(UnavailableError, match=r"here: nobody at http://127\.0\.0\.1:1\. Hint: check the"):
        train(settings(tiny, "train.loggers=[mlflow]"), tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


class Experiment:
    """What the logger uses of Weights & Biases."""

    id = "abc"

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []
        self.config: dict[str, Any] = {}
        self.exit_code = -1

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.logged.append((metrics, step))

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


def test_weights_and_biases_gets_settings_figures_and_the_end(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, module = Experiment(), ModuleType("wandb")
    monkeypatch.setattr(module, "init", lambda **_: experiment, raising=False)
    monkeypatch.setitem(sys.modules, "wandb", module)
    train(settings(tiny, "train.loggers=[wandb]"), tmp_path / "run")
    assert experiment.config["train.steps"] == 2
    assert [step for _, step in experiment.logged] == [1, 2, 2]
    assert "val/mean_iou" in experiment.logged[-1][0]
    assert experiment.exit_code == 0


def test_settings_become_dotted_keys() -> None:
    assert dict(flat_items({"a": {"b": 1, "c": [2]}, "d": None})) == {"a.b": 1, "a.c": [2], "d": None}


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs mlflow")
def test_mlflow_itself(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train(settings(tiny, "train.loggers=[mlflow]"), tmp_path / "run")
    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("toolkit").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["train.steps"] == "2"
    assert len(client.get_metric_history(found.info.run_id, "loss")) == 2


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs wandb")
def test_weights_and_biases_itself(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(settings(tiny, "train.loggers=[wandb]"), tmp_path / "run")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
