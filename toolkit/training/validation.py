"""Evaluates a model while it trains, and determines its best checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from toolkit.config import TrainSettings
from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.errors import ToolkitError, TrainingError, UsageError
from toolkit.evaluation.driver import Evaluation, PredictedBatch, Subject, evaluate, headline, predict_batches
from toolkit.evaluation.opening import tiled
from toolkit.evaluation.protocols import Measurement
from toolkit.evaluation.report import Report, is_better
from toolkit.models.contract import Model
from toolkit.models.sliding_window import Tiling
from toolkit.runtime.seeding import undisturbed
from toolkit.training.state import Progress
from toolkit.wording import counted

logger = logging.getLogger("toolkit")


@dataclass(frozen=True)
class ValidationFigures:
    """The results of a validation.

    Attributes:
        metrics: metrics of all evaluators, by name.
        loss: the total loss.
        losses: the terms of the loss.
        headline: names of the metrics worth showing.
        reports: reports of all evaluators.
    """

    metrics: dict[str, float]
    loss: float
    losses: dict[str, float]
    headline: list[str]
    reports: tuple[Report, ...] = ()

    def for_log(self) -> dict[str, float]:
        """All figures as in metrics.jsonl."""
        figures = {f"val/{name}": value for name, value in self.metrics.items()} | {"val/loss": self.loss}
        if len(self.losses) > 1:
            figures |= {f"val/loss/{name}": value for name, value in self.losses.items()}
        return figures

    def line(self, progress: Progress, *, improved: bool) -> str:
        """A line for people."""
        shown = [f"{name} {self.metrics[name]:.4f}{progress.compare(name)}" for name in self.headline]
        best = " (best so far)" if improved else ""
        return f"step {progress.step}: val loss {self.loss:.4f}, {', '.join(shown)}{best}"


class Validation:
    """Evaluates a model on the validation split repeatedly.

    Args:
        dataset: the split; None if there is none.
        measurements: what is measured.
        options: batch size, processes, and the metric that selects the best checkpoint.
        fabric: devices, processes and precision.

    Attributes:
        best_metric: the metric that selects the best checkpoint; known before the first step, because an
            empty report also names its metrics.
        lower_is_better: whether lower values of it are better.
        headline: names of the metrics worth showing.

    Raises:
        UsageError: when the settings name a metric that is not measured.
    """

    def __init__(
        self,
        dataset: Dataset | None,
        measurements: Sequence[Measurement],
        options: TrainSettings,
        fabric: Fabric,
    ) -> None:
        self.dataset, self.measurements, self.options, self.fabric = dataset, measurements, options, fabric
        self._loader: EvaluationLoader | None = None
        reports = [measurement.report() for measurement in measurements]
        self.headline = headline(reports)
        known = [name for report in reports for name in report.metrics] + ["loss"]
        self.best_metric = options.best_metric or known[0]
        if self.best_metric not in known:
            raise UsageError(
                f"train.best_metric={self.best_metric} is not measured. Expected one of: {', '.join(known)}"
            )
        lower = {"loss"} | {name for report in reports for name in report.lower_is_better}
        self.lower_is_better = self.best_metric in lower

    def subject(self, model: Model) -> Subject:
        """The model as it is measured: it predicts large images window by window, as ``toolkit eval`` does.

        Raises:
            UsageError: when it cannot use the windows of the settings.
        """
        tiling = Tiling(self.options.eval_window, self.options.eval_overlap)
        measured = tiled(model, tiling, "train.eval_window")
        return Subject(measured, autocast=self.fabric.autocast(), with_loss=True)

    def measure(
        self, model: Model, on_batch: Callable[[PredictedBatch], None] | None = None
    ) -> ValidationFigures:
        """Measure a model; every process takes its share and gets the whole result.

        Args:
            model: the model to measure.
            on_batch: called with the predictions of each batch of this process.
        """
        subject = self.subject(model)
        loader = self._loader_for_all()
        evaluation: Evaluation = evaluate(
            subject, loader.dataset, self.measurements, loader=loader, on_batch=on_batch
        )
        loss = sum(evaluation.losses.values())
        return ValidationFigures(
            evaluation.metrics(), loss, evaluation.losses, evaluation.headline(), evaluation.reports
        )

    def try_out(self, model: Model) -> None:
        """Measure the first images of this process's share, to check that everything that validation needs is
        available: labels, settings of the evaluators, and memory. The results are discarded.

        Raises:
            ToolkitError: any error that validation would raise.
        """
        assert self.dataset is not None  # checked by the caller
        own = range(self.fabric.global_rank, len(self.dataset), self.fabric.world_size)
        try:
            with undisturbed():
                samples = [self.dataset[i] for i in own[: self.options.eval_batch_size]]
                for measurement in self.measurements:
                    measurement.evaluator.reset()
                subject = self.subject(model)
                for batch in predict_batches([subject], [samples] if samples else []):
                    for measurement in self.measurements:
                        _try_to_measure(measurement, batch)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"validating {counted(self.options.eval_batch_size, 'image')} at a time takes more memory"
                f" than there is: {str(error).splitlines()[0]} Hint: train.eval_batch_size=1"
            ) from None
        except ToolkitError as error:
            raise type(error)(f"{error}\n(found when validation was tried, before the first step)") from None

    def note_if_best(self, figures: ValidationFigures, progress: Progress) -> bool:
        """Whether these figures beat all previous ones; the progress is updated accordingly."""
        value = (figures.metrics | {"loss": figures.loss})[self.best_metric]
        if not is_better(value, progress.best, lower=self.lower_is_better):
            progress.stale += 1
            return False
        progress.best, progress.best_step, progress.stale = value, progress.step, 0
        return True

    def close(self) -> None:
        """End the processes that read images."""
        if self._loader is not None:
            self._loader.close()

    def _loader_for_all(self) -> EvaluationLoader:
        """One loader for all validations, so that its processes are started only once."""
        if self._loader is None:
            assert self.dataset is not None  # checked by the caller
            self._loader = EvaluationLoader(
                self.dataset,
                batch_size=self.options.eval_batch_size,
                workers=self.options.workers,
                rank=self.fabric.global_rank,
                world=self.fabric.world_size,
                keep_workers=True,
                pin_memory=self.fabric.device.type == "cuda",
            )
        return self._loader


def _try_to_measure(measurement: Measurement, batch: PredictedBatch) -> None:
    """Let an evaluator report what is missing. It is not prepared for the dataset, because that may happen
    only once per validation, so any other error is left to validation.
    """
    try:
        measurement.update(batch.samples, batch.predictions)
        measurement.report()
    except ToolkitError:
        raise
    except Exception as error:
        logger.debug("%s could not be tried: %s", type(measurement.evaluator).__name__, error)
    finally:
        measurement.evaluator.reset()
