"""The only way in which models are run over a dataset to be measured.

``predict_batches`` sends every batch through one model or several; ``evaluate`` feeds the predictions to
evaluators. Validation while training, ``toolkit eval``, ``toolkit compare`` and any code that needs the
predictions themselves go through here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.evaluation.alignment import Alignment
from toolkit.evaluation.protocols import PLAIN, Measurement, predict_protocols
from toolkit.evaluation.report import Report
from toolkit.models.capabilities import Probabilistic, Promptable
from toolkit.models.contract import Model, TrainableModel, evaluating
from toolkit.models.returned import checked_losses, checked_pair, checked_predictions, owner_of
from toolkit.runtime.progress import Display, counting
from toolkit.types import Prediction, Sample


@dataclass(frozen=True)
class Subject:
    """A model that is measured, and how.

    Attributes:
        model: the model, in any mode; it is put in eval mode for each batch, and then back.
        alignment: turns its predictions into the dataset's classes; None if they are the same.
        autocast: the context of the forward pass, for mixed precision.
        with_loss: whether losses are computed too, which needs a trainable model and labels.
        with_confidence: whether predictions should have ``toolkit.types.CONFIDENCE``, if the model provides
            it.
        confidence_limit: number of pixels of an image times classes above which it is left out, because
            computing it takes memory for that many numbers; None for no limit.
    """

    model: Model
    alignment: Alignment | None = None
    autocast: AbstractContextManager[Any] | None = None
    with_loss: bool = False
    with_confidence: bool = False
    confidence_limit: int | None = None

    def wants_confidence(self, samples: Sequence[Sample]) -> bool:
        """Whether the predictions of a batch should have it."""
        numbers = max((sample.size[0] * sample.size[1] for sample in samples), default=0)
        fits = self.confidence_limit is None or numbers * len(self.model.classes) <= self.confidence_limit
        return self.with_confidence and fits


@dataclass(frozen=True)
class PredictedBatch:
    """The predictions of one model for one batch.

    Attributes:
        subject: the position of the model among the subjects.
        first: the position of the first sample in this process's share of the dataset.
        samples: the samples with their truth.
        predictions: one per sample, by prompt protocol; under ``PLAIN`` for models that are not promptable.
        losses: losses by name, each the mean over the samples; empty when they were not requested.
        seconds: duration of the prediction.
    """

    subject: int
    first: int
    samples: list[Sample]
    predictions: Mapping[str, list[Prediction]]
    losses: Mapping[str, Tensor]
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """The results: one report per measurement, and the mean losses (empty when they were not
    requested).
    """

    reports: tuple[Report, ...]
    losses: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """All metrics of all reports, by name."""
        return {name: value for report in self.reports for name, value in report.metrics.items()}

    def headline(self) -> list[str]:
        """The metrics worth showing; see ``headline``."""
        return headline(self.reports)


def headline(reports: Sequence[Report]) -> list[str]:
    """The metrics worth showing: the first three of the only report, or the first of each."""
    if len(reports) == 1:
        return list(reports[0].metrics)[:3]
    return [next(iter(report.metrics)) for report in reports if report.metrics]


def predict_batches(
    subjects: Sequence[Subject], batches: Iterable[list[Sample]], *, warm_up: bool = False
) -> Iterator[PredictedBatch]:
    """Send every batch through every model in turn, starting with a different one each time.

    Args:
        subjects: the models.
        batches: such as an ``EvaluationLoader``.
        warm_up: predict the first batch once beforehand, so that one-time preparations are not timed.
    """
    first = 0
    for number, samples in enumerate(batches):
        if warm_up and not number:
            for subject in subjects:
                _predict(subject, samples)
        for i in range(len(subjects)):
            place = (number + i) % len(subjects)
            predictions, losses, seconds = _predict(subjects[place], samples)
            yield PredictedBatch(place, first, samples, predictions, losses, seconds)
        first += len(samples)


def measured_by(subject: Subject, measurements: Sequence[Measurement]) -> Subject:
    """The subject, with probabilities in its predictions if a measurement wants them."""
    wanted = any(measurement.evaluator.wants_confidence for measurement in measurements)
    return replace(subject, with_confidence=subject.with_confidence or wanted)


def evaluate(
    subject: Subject,
    dataset: Dataset,
    measurements: Sequence[Measurement],
    *,
    batch_size: int = 4,
    workers: int = 0,
    loader: EvaluationLoader | None = None,
    on_batch: Callable[[PredictedBatch], None] | None = None,
) -> Evaluation:
    """Predict every sample once and measure; with several processes, each takes its share and all get the
    whole result.

    Args:
        subject: the model.
        dataset: the split to measure on.
        measurements: from ``toolkit.evaluation.protocols.plan_measurements``; reset, updated and asked for a
            report.
        batch_size: number of images per batch.
        workers: number of processes that read images.
        loader: a loader to use instead of one built from ``batch_size`` and ``workers``.
        on_batch: called with the predictions of each batch.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if loader is None:
        loader = EvaluationLoader(dataset, batch_size=batch_size, workers=workers, rank=rank, world=world)
    for measurement in measurements:
        measurement.evaluator.reset()
        measurement.evaluator.prepare(dataset)
    losses = _LossSums()
    for batch in predict_batches([measured_by(subject, measurements)], loader):
        losses.add(batch.losses, len(batch.samples))
        for measurement in measurements:
            measurement.update(batch.samples, batch.predictions)
        if on_batch:
            on_batch(batch)
    sums, seen = losses.total()
    if world > 1:
        shares: list[Any] = [None] * world
        states = [measurement.evaluator.state() for measurement in measurements]
        dist.all_gather_object(shares, (states, sums, seen))
        for i, measurement in enumerate(measurements):
            measurement.evaluator.merge([states[i] for states, _, _ in shares])
        names = dict.fromkeys(name for _, share, _ in shares for name in share)
        sums = {name: sum(share.get(name, 0.0) for _, share, _ in shares) for name in names}
        seen = sum(count for _, _, count in shares)
    means = {name: value / max(seen, 1) for name, value in sums.items()}
    return Evaluation(tuple(measurement.report() for measurement in measurements), means)


@contextmanager
def measuring(
    dataset: Dataset,
    on_batch: Callable[[PredictedBatch], None] | None = None,
    *,
    subjects: int = 1,
    show: bool = True,
    display: Display | None = None,
    what: str = "measuring",
) -> Iterator[Callable[[PredictedBatch], None]]:
    """Show the progress of an evaluation, and how long it will still take; with several processes, the first
    shows its own share.

    Args:
        dataset: the dataset to measure on.
        on_batch: also called with each batch.
        subjects: number of models that predict each image.
        show, display: as for ``toolkit.runtime.progress.counting``.
        what: the name to show.

    Yields:
        A function to call with each predicted batch, for example as ``evaluate``'s ``on_batch``.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    images = len(range(rank, len(dataset), world))
    with counting(what, images * subjects, show=show and rank == 0, display=display) as advance:

        def watch(batch: PredictedBatch) -> None:
            advance(len(batch.samples))
            if on_batch:
                on_batch(batch)

        yield watch


class _LossSums:
    """Losses summed over samples; they stay on their device until the total is requested."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._counts: dict[str, list[int]] = {}
        self._seen = 0

    def add(self, losses: Mapping[str, Tensor], count: int) -> None:
        """Add the mean losses of a number of samples."""
        self._seen += count
        for name, value in losses.items():
            self._values.setdefault(name, []).append(value.detach())
            self._counts.setdefault(name, []).append(count)

    def total(self) -> tuple[dict[str, float], int]:
        """The sum of each loss over the samples, and the number of samples."""
        sums = {}
        for name, values in self._values.items():
            numbers = torch.stack(values).tolist()  # one transfer from the device
            sums[name] = sum(value * count for value, count in zip(numbers, self._counts[name], strict=True))
        return sums, self._seen


def _predict(
    subject: Subject, samples: list[Sample]
) -> tuple[dict[str, list[Prediction]], Mapping[str, Tensor], float]:
    """Predictions by protocol, losses if requested, and the duration."""
    with evaluating(subject.model), subject.autocast or nullcontext():
        began = time.perf_counter()
        predictions, losses = _forward(subject, samples)
        seconds = time.perf_counter() - began  # predictions are on the CPU, so the GPU has finished
    if subject.alignment is not None:
        predictions = {
            key: [subject.alignment(each) for each in values] for key, values in predictions.items()
        }
    return predictions, losses, seconds


def _forward(
    subject: Subject, samples: list[Sample]
) -> tuple[dict[str, list[Prediction]], Mapping[str, Tensor]]:
    model = subject.model
    owner = owner_of(model)
    losses: Any = {}
    learner = model if subject.with_loss and isinstance(model, TrainableModel) else None
    probabilistic = model.capability(Probabilistic) if subject.wants_confidence(samples) else None
    if isinstance(model, Promptable):
        by_protocol = predict_protocols(model, samples)
        losses = learner.loss(samples) if learner else {}
    else:
        if learner:
            predictions, losses = checked_pair(learner.validate(samples), samples, owner)
        if probabilistic:
            predictions = probabilistic.predict_with_confidence(samples)
        elif not learner:
            predictions = model.predict(samples)
        by_protocol = {PLAIN: checked_predictions(predictions, samples, owner)}
    if learner is None:
        return by_protocol, {}
    return by_protocol, checked_losses(losses, samples, owner=owner, with_gradient=False)
