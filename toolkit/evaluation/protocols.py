"""Evaluators for promptable models: each measures one prompt protocol, and its metrics bear the protocol's
name.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from toolkit.errors import UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Report
from toolkit.models.contract import Model, PromptableModel
from toolkit.models.simulated_prompts import AUTO
from toolkit.types import Instances, Prediction, Sample

if TYPE_CHECKING:
    from toolkit.data.dataset import Dataset


class OfProtocol(Evaluator):
    """Another evaluator, for the predictions of one protocol: ``mean_iou`` becomes ``box/mean_iou``.

    Args:
        evaluator: does the work.
        protocol: one of the model's.
        with_classes: False counts all true objects as of the first class, for predictions of objects without
            one.
    """

    def __init__(self, evaluator: Evaluator, protocol: str, *, with_classes: bool = True) -> None:
        self.evaluator, self.protocol, self.with_classes = evaluator, protocol, with_classes
        self.resamples = evaluator.resamples

    def reset(self) -> None:
        """Forget everything."""
        self.evaluator.reset()

    def prepare(self, dataset: Dataset) -> None:
        """Learn where the samples will come from."""
        self.evaluator.prepare(dataset)

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        if not self.with_classes and sample.instances is not None:
            sample = sample.with_(instances=_without_classes(sample.instances))
            if prediction.instances is not None:
                prediction = replace(prediction, instances=_without_classes(prediction.instances))
        self.evaluator.update([sample], [prediction])

    def state(self) -> Any:
        """What the evaluator took in."""
        return self.evaluator.state()

    def merge(self, states: Sequence[Any]) -> None:
        """Replace what was taken in by the sum of ``states``."""
        self.evaluator.merge(states)

    def merge_repeated(self, states: Sequence[Any], times: Sequence[int]) -> None:
        """Replace what was taken in by ``states``, each so many times."""
        self.evaluator.merge_repeated(states, times)

    def report(self) -> Report:
        """The figures so far, with the protocol in their names."""
        report = self.evaluator.report()
        metrics = {f"{self.protocol}/{name}": value for name, value in report.metrics.items()}
        name = f"{report.name}, protocol {self.protocol}"
        if self.with_classes:
            return replace(report, name=name, metrics=metrics)
        notes = (*report.notes, "What nobody prompted has no class, so all objects count as of one.")
        return replace(report, name=name, metrics=metrics, per_class={}, classes=(), notes=notes)


def _without_classes(instances: Instances) -> Instances:
    return replace(instances, labels=torch.zeros_like(instances.labels))


def by_protocol(evaluators: Sequence[Evaluator], model: Model) -> list[Evaluator]:
    """The evaluators to measure a model with: for a promptable one, a copy for each protocol that they suit;
    for others, as they are.

    Raises:
        UsageError: when an evaluator suits none of the model's protocols.
    """
    if not isinstance(model, PromptableModel):
        for evaluator in evaluators:
            if evaluator.aligned:
                raise UsageError(
                    f"the evaluator {type(evaluator).__name__.lower()} measures answers to prompts, and"
                    f" {type(model).__name__} takes none. Repair: choose the evaluator coco or iou"
                )
        return list(evaluators)
    chosen: list[Evaluator] = []
    for protocol in model.protocols:
        is_prompted = protocol != AUTO
        suiting = [each for each in evaluators if each.aligned == is_prompted]
        chosen += [OfProtocol(copy.deepcopy(each), protocol, with_classes=is_prompted) for each in suiting]
    if evaluators and not chosen:
        names = ", ".join(type(each).__name__.lower() for each in evaluators)
        raise UsageError(
            f"the evaluator {names} suits none of the protocols {', '.join(model.protocols)}. Repair: choose"
            f" the evaluator objects for prompted protocols, or add the protocol {AUTO} for the others"
        )
    return chosen
