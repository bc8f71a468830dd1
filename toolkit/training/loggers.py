"""Loggers beside metrics.jsonl and TensorBoard, by the interface of Lightning Fabric's."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger

from toolkit.config import RunSettings
from toolkit.errors import UnavailableError

PROJECT = "toolkit"
"""The project (Weights & Biases) or experiment (MLflow) that runs are entered in, where the environment names
no other.
"""


def make_loggers(settings: RunSettings, run: Path) -> list[Logger]:
    """The loggers that ``train.loggers`` names, which have been told the settings.

    Args:
        settings: of the run.
        run: its folder, whose name the run has there.

    Raises:
        UnavailableError: when a package is missing; says what installs it.
    """
    makers = {"csv": _csv, "wandb": _wandb, "mlflow": _mlflow}
    loggers = [makers[name](run) for name in settings.train.loggers]
    for logger in loggers:
        if not isinstance(logger, CSVLogger):  # which knows no settings
            logger.log_hyperparams(dict(flat_settings(settings.model_dump(mode="json"))))
    return loggers


def check_loggers(names: Sequence[str]) -> None:
    """Make sure that the loggers of these names are installed.

    Raises:
        UnavailableError: when one is not.
    """
    for name in names:
        if name != "csv":
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise _missing(name, error) from None


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted keys; lists stay lists."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat_settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _csv(run: Path) -> Logger:
    return CSVLogger(run, name="csv", flush_logs_every_n_steps=1)


def _wandb(run: Path) -> Logger:
    try:
        from wandb.integration.lightning.fabric import WandbLogger
    except ImportError as error:
        raise _missing("wandb", error) from None
    logger: Logger = WandbLogger(project=PROJECT, name=run.name, save_dir=str(run))
    return logger


def _mlflow(run: Path) -> Logger:
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise _missing("mlflow", error) from None
    return MlflowLogger(MlflowClient(), run)


def _missing(name: str, error: object) -> UnavailableError:
    return UnavailableError(
        f"train.loggers names {name}, which cannot be used here: {error}. Hint: pip install"
        f" 'toolkit[{name}]', or leave {name} out of train.loggers"
    )


class MlflowLogger(Logger):
    """A run in MLflow, at the server or folder that MLflow's own environment variables name. Lightning has a
    logger for MLflow in PyTorch Lightning alone, which would be a framework more.

    Args:
        client: an ``mlflow.MlflowClient``.
        run: the run's folder.
    """

    def __init__(self, client: Any, run: Path) -> None:
        self._client, self._name = client, run.name
        known = client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else client.create_experiment(PROJECT)
        self._id: str = client.create_run(experiment, run_name=run.name).info.run_id

    @property
    def name(self) -> str:
        """That of the run's folder."""
        return self._name

    @property
    def version(self) -> str:
        """MLflow's id of the run."""
        return self._id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record figures of a step."""
        for name, value in metrics.items():
            self._client.log_metric(self._id, name, value, step=step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record settings."""
        for name, value in (vars(params) if isinstance(params, Namespace) else params).items():
            self._client.log_param(self._id, name, value)

    def finalize(self, status: str) -> None:
        """Close the run: ``"success"`` or anything else, which is a failure."""
        self._client.set_terminated(self._id, "FINISHED" if status == "success" else "FAILED")
