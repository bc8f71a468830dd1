"""Loggers in addition to metrics.jsonl and TensorBoard, with the interface of Lightning Fabric's loggers."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger

from toolkit.config import RunSettings
from toolkit.config.tree import flat_items
from toolkit.errors import UnavailableError

PROJECT = "toolkit"
"""The default project (Weights & Biases) or experiment (MLflow) for runs, if the environment names no other.
"""


def make_loggers(settings: RunSettings, run: Path) -> list[Logger]:
    """Create the loggers that ``train.loggers`` names, and log the settings to them.

    Args:
        settings: the settings of the run.
        run: its folder, whose name becomes the name of the run there.

    Raises:
        UnavailableError: when one cannot be used: a package is missing, or a server does not answer.
    """
    makers = {"csv": _csv, "wandb": _wandb, "mlflow": _mlflow}
    loggers = []
    for name in settings.train.loggers:
        try:
            loggers.append(makers[name](run))
        except Exception as error:  # an import, an address, an account: loggers may raise anything
            raise UnavailableError(_unavailable(name, error)) from error
    for logger in loggers:
        if not isinstance(logger, CSVLogger):  # which does not store settings
            logger.log_hyperparams(dict(flat_items(settings.model_dump(mode="json"))))
    return loggers


def _unavailable(name: str, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    hint = (
        f"pip install 'detseg-toolkit[{name}]'"
        if isinstance(error, ImportError)
        else f"check the environment variables of {name}"
    )
    return (
        f"train.loggers names {name}, which cannot be used here: {reason}. Hint: {hint}, or leave {name} out"
    )


def _csv(run: Path) -> Logger:
    return CSVLogger(run, name="csv", flush_logs_every_n_steps=1)


def _wandb(run: Path) -> Logger:
    import wandb

    return WandbLogger(wandb.init(project=PROJECT, name=run.name, dir=str(run)), run)


def _mlflow(run: Path) -> Logger:
    from mlflow import MlflowClient

    return MlflowLogger(MlflowClient(), run)


class WandbLogger(Logger):
    """A run in Weights & Biases, whose own logger for Fabric needs all of Lightning.

    Args:
        experiment: the result of ``wandb.init``.
        run: the run's folder.
    """

    def __init__(self, experiment: Any, run: Path) -> None:
        self._experiment, self._name = experiment, run.name

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self._name

    @property
    def version(self) -> str:
        """Weights & Biases' id of the run."""
        return str(self._experiment.id)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics of a step."""
        self._experiment.log(dict(metrics), step=step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record settings."""
        self._experiment.config.update(vars(params) if isinstance(params, Namespace) else params)

    def finalize(self, status: str) -> None:
        """Close the run: ``"success"`` or anything else, which is a failure."""
        self._experiment.finish(exit_code=int(status != "success"))


class MlflowLogger(Logger):
    """A run in MLflow, at the server or folder that MLflow's environment variables name. Lightning's logger
    for MLflow is only part of PyTorch Lightning, which would be an additional framework.

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
        """The name of the run's folder."""
        return self._name

    @property
    def version(self) -> str:
        """MLflow's id of the run."""
        return self._id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics of a step; ``loss/dice`` becomes ``loss.dice``, because in MLflow's folders there
        cannot be a ``loss`` as well as something below it.
        """
        from mlflow.entities import Metric

        now, step = round(time.time() * 1000), step or 0
        values = [Metric(name.replace("/", "."), value, now, step) for name, value in metrics.items()]
        self._client.log_batch(self._id, metrics=values)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record settings."""
        for name, value in (vars(params) if isinstance(params, Namespace) else params).items():
            self._client.log_param(self._id, name, value)

    def finalize(self, status: str) -> None:
        """Close the run: ``"success"`` or anything else, which is a failure."""
        self._client.set_terminated(self._id, "FINISHED" if status == "success" else "FAILED")
