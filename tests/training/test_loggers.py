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
from toolkit.errors import ConfigError, NonFiniteLossError, UnavailableError
from toolkit.training.loggers import flat_settings, make_loggers
from toolkit.training.loop import train


def settings(tiny: str, *words: str) -> RunSettings:
    few = ["train.accelerator=cpu", "train.steps=2", "train.log_every=1", "train.eval_every=2"]
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
    with pytest.raises(UnavailableError, match=rf"names {name}.*Hint: pip install 'toolkit\[{name}\]'"):
        train(settings(tiny, f"train.loggers=[{name}]"), tmp_path / "run")
    assert train(settings(tiny), tmp_path / "run").finished, "and the folder is in nobody's way"


def test_an_unknown_one_lists_those_there_are(tiny: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.loggers\.0: input should be 'csv', 'wandb' or 'mlflow'"):
        settings(tiny, "train.loggers=[comet]")


class Client:
    """What the logger uses of MLflow's client, as a record of calls."""

    def __init__(self) -> None:
        self.metrics: list[tuple[str, float, int]] = []
        self.params: dict[str, Any] = {}
        self.status = ""

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return "1"

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        assert experiment == "1"
        return SimpleNamespace(info=SimpleNamespace(run_id=f"id of {run_name}"))

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        assert run == "id of run"
        self.metrics.append((name, value, step))

    def log_param(self, run: str, name: str, value: object) -> None:
        self.params[name] = value

    def set_terminated(self, run: str, status: str) -> None:
        self.status = status


@pytest.mark.parametrize("poison", ["", "train/"])
def test_mlflow_gets_settings_figures_and_the_end(
    poison: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, module = Client(), ModuleType("mlflow")
    monkeypatch.setattr(module, "MlflowClient", lambda: client, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    chosen = settings(tiny, "train.loggers=[mlflow]", f"model.poison={poison}")
    if poison:
        with pytest.raises(NonFiniteLossError, match="is nan"):
            train(chosen, tmp_path / "run")
        assert client.status == "FAILED"
        return
    train(chosen, tmp_path / "run")
    assert client.params["train.steps"] == 2
    assert client.status == "FINISHED"
    assert {step for name, _, step in client.metrics if name == "loss"} == {1, 2}
    assert any(name == "val/mean_iou" for name, _, _ in client.metrics)


def test_settings_become_dotted_keys() -> None:
    assert dict(flat_settings({"a": {"b": 1, "c": [2]}, "d": None})) == {"a.b": 1, "a.c": [2], "d": None}


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs mlflow")
def test_mlflow_itself(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
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
