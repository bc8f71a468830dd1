"""Measures a run on a split in shares, which several processes may take, and puts them together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit.checkpoints import RunLike
from toolkit.data.loader import EvaluationLoader
from toolkit.evaluation.alignment import alignment_for
from toolkit.evaluation.driver import PredictedBatch, Subject, measured_by, predict_batches
from toolkit.evaluation.opening import open_run, tiled
from toolkit.evaluation.protocols import plan_measurements
from toolkit.evaluation.report import Report
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.selection import build_evaluators
from toolkit.models.graphs import accelerator_for
from toolkit.models.sliding_window import Tiling
from toolkit.runtime.fabric import launch, make_fabric


class ShareEngine(ABC):
    """Other processes that measure the shares of a split."""

    @abstractmethod
    def states(
        self,
        run: Path,
        choice: DataChoice,
        computing: Computing,
        prompting: Prompting,
        tiling: Tiling | None,
        images: int,
        on_images: Callable[[int], None],
    ) -> list[list[Any]]:
        """What ``MeasuredRun.states`` returns for each share, in their order.

        Args:
            run: a run's folder, or a checkpoint file.
            choice, computing, prompting, tiling: as for ``MeasuredRun``.
            images: number of images of the split.
            on_images: called with the number of images that have been measured since.
        """


class MeasuredRun:
    """A run, the split to measure it on, and its evaluators.

    Args:
        run, choice, computing, prompting, tiling: as for ``toolkit.evaluation.runs.evaluate_run``.

    Attributes:
        fabric: device and precision, launched.
        opened: the run and the split.
        measurements: with the evaluators.

    Raises:
        UsageError, DataError: as ``evaluate_run``.
    """

    def __init__(
        self,
        run: RunLike,
        choice: DataChoice,
        computing: Computing,
        prompting: Prompting,
        tiling: Tiling | None = None,
    ) -> None:
        self._computing = computing
        self.opened = open_run(run, choice, prompting)
        self.fabric = make_fabric(
            accelerator=accelerator_for([self.opened.model], computing.accelerator),
            devices=computing.devices,
            precision=computing.precision,
            num_nodes=computing.num_nodes,
        )
        launch(self.fabric)
        model, path, self.dataset = self.opened.model, self.opened.path, self.opened.opened.dataset
        alignment = alignment_for(model, self.dataset, f"the model in {path}")
        evaluators = build_evaluators(
            self.opened.evaluators, self.dataset.classes, task=self.opened.task, owner=str(path)
        )
        self.measurements = plan_measurements(model, evaluators, self.opened.manifest.start_weights)
        self.subject = Subject(tiled(model, tiling).to(self.fabric.device), alignment, self.fabric.autocast())

    def states(
        self, share: int, shares: int, on_batch: Callable[[PredictedBatch], None] | None = None
    ) -> list[Any]:
        """Measure one share.

        Args:
            share: its number, from 0.
            shares: number of all; each has every so manieth image, as with several processes.
            on_batch: called with the predictions of each batch.

        Returns:
            The state of each measurement's evaluator, which another process can merge.
        """
        for measurement in self.measurements:
            measurement.evaluator.reset()
            measurement.evaluator.prepare(self.dataset)
        loader = EvaluationLoader(
            self.dataset,
            batch_size=self._computing.batch_size,
            workers=self._computing.workers,
            rank=share,
            world=shares,
        )
        for batch in predict_batches([measured_by(self.subject, self.measurements)], loader):
            for measurement in self.measurements:
                measurement.update(batch.samples, batch.predictions)
            if on_batch:
                on_batch(batch)
        return [measurement.evaluator.state() for measurement in self.measurements]

    def merged(self, states: Sequence[Sequence[Any]]) -> list[Report]:
        """The reports of all shares.

        Args:
            states: what ``states`` returned for each share, in their order.
        """
        for place, measurement in enumerate(self.measurements):
            measurement.evaluator.reset()
            measurement.evaluator.prepare(self.dataset)
            measurement.evaluator.merge([each[place] for each in states])
        return [measurement.report() for measurement in self.measurements]
