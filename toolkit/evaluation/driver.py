"""Measuring a model on a dataset, in one process or many."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.loader import evaluation_batches
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Report
from toolkit.models.contract import Model, PromptableModel, TrainableModel, evaluating
from toolkit.types import Prediction, Sample


@dataclass(frozen=True)
class Validation:
    """What was measured: one report an evaluator, and the mean losses (empty when they were not asked
    for).
    """

    reports: tuple[Report, ...]
    losses: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """All metrics of all reports, by name."""
        return {name: value for report in self.reports for name, value in report.metrics.items()}

    def headline(self) -> list[str]:
        """The metrics worth a line: the first three of the only report, or the first of each."""
        if len(self.reports) == 1:
            return list(self.reports[0].metrics)[:3]
        return [next(iter(report.metrics)) for report in self.reports if report.metrics]


def evaluate(
    model: Model,
    dataset: Dataset,
    evaluators: Sequence[Evaluator],
    *,
    batch_size: int = 4,
    workers: int = 0,
    with_loss: bool = False,
    autocast: AbstractContextManager[Any] | None = None,
) -> Validation:
    """Predict every sample once and measure; in a distributed run each process takes its share and all get
    the whole result.

    Args:
        model: measured in eval mode and left in the mode that it was in.
        dataset: the split to measure on.
        evaluators: reset, updated and asked for a report; for a promptable model those of
            ``toolkit.evaluation.protocols.by_protocol``.
        batch_size: images at a time.
        workers: processes that read images.
        with_loss: also the mean loss a sample, which needs a trainable model and labels.
        autocast: context for the forward pass, for mixed precision.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    for evaluator in evaluators:
        evaluator.reset()
        evaluator.prepare(dataset)
    sums: dict[str, float] = {}
    seen = 0
    with evaluating(model):
        for samples in evaluation_batches(
            dataset, batch_size=batch_size, rank=rank, world=world, workers=workers
        ):
            with autocast or nullcontext():
                predictions, losses = _forward(model, samples, with_loss)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(samples)
            seen += len(samples)
            for evaluator in evaluators:
                evaluator.update(samples, predictions[evaluator.protocol])
    if world > 1:
        shares: list[Any] = [None] * world
        dist.all_gather_object(shares, ([evaluator.state() for evaluator in evaluators], sums, seen))
        for i, evaluator in enumerate(evaluators):
            evaluator.merge([states[i] for states, _, _ in shares])
        sums = {
            name: sum(share[name] for _, share, _ in shares if share)
            for name in next(s for _, s, _ in shares)
        }
        seen = sum(count for _, _, count in shares)
    return Validation(
        tuple(evaluator.report() for evaluator in evaluators),
        {name: value / max(seen, 1) for name, value in sums.items()},
    )


def _forward(
    model: Model, samples: list[Sample], with_loss: bool
) -> tuple[dict[str, list[Prediction]], dict[str, Tensor]]:
    """Predictions by protocol (the empty name where there are none), and losses where they are wanted."""
    if isinstance(model, PromptableModel):
        return model.predict_protocols(samples), model.loss(samples) if with_loss else {}
    if with_loss and isinstance(model, TrainableModel):
        predictions, losses = model.validate(samples)
        return {"": predictions}, losses
    return {"": model.predict(samples)}, {}
