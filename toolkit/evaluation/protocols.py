"""Evaluators for promptable models: each measures one prompt protocol, and its metrics bear the protocol's name."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolkit.errors import UsageError
from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Report

if TYPE_CHECKING:
    from toolkit.dataset import Dataset
    from toolkit.model import Model
    from toolkit.types import Prediction, Sample


class OfProtocol(Evaluator):
    """Another evaluator, for the predictions of one protocol: ``mean_iou`` becomes ``box/mean_iou``.

    Args:
        evaluator: does the work.
        protocol: one of the model's.
    """

    def __init__(self, evaluator: Evaluator, protocol: str) -> None:
        self.evaluator, self.protocol = evaluator, protocol

    def reset(self) -> None:
        """Forget everything."""
        self.evaluator.reset()

    def prepare(self, dataset: Dataset) -> None:
        """Learn where the samples will come from."""
        self.evaluator.prepare(dataset)

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        self.evaluator.update([sample], [prediction])

    def state(self) -> Any:
        """What the evaluator took in."""
        return self.evaluator.state()

    def merge(self, states: Sequence[Any]) -> None:
        """Replace what was taken in by the sum of ``states``."""
        self.evaluator.merge(states)

    def report(self) -> Report:
        """The figures so far, with the protocol in their names."""
        report = self.evaluator.report()
        metrics = {f"{self.protocol}/{name}": value for name, value in report.metrics.items()}
        return replace(report, name=f"{report.name}, protocol {self.protocol}", metrics=metrics)


def by_protocol(evaluators: Sequence[Evaluator], model: Model) -> list[Evaluator]:
    """The evaluators to measure a model with: for a promptable one, a copy for each protocol that they suit; for others, as they are.

    Raises:
        UsageError: when an evaluator suits none of the model's protocols.
    """
    from toolkit.model import PromptableModel

    if not isinstance(model, PromptableModel):
        for evaluator in evaluators:
            if evaluator.aligned:
                raise UsageError(
                    f"the evaluator {type(evaluator).__name__.lower()} measures answers to prompts, and {type(model).__name__} takes none. "
                    "Repair: choose the evaluator coco or iou"
                )
        return list(evaluators)
    chosen: list[Evaluator] = []
    for protocol in model.protocols:
        is_prompted = protocol != model.UNPROMPTED
        chosen += [OfProtocol(copy.deepcopy(each), protocol) for each in evaluators if each.aligned == is_prompted]
    if evaluators and not chosen:
        names = ", ".join(type(each).__name__.lower() for each in evaluators)
        raise UsageError(
            f"the evaluator {names} suits none of the protocols {', '.join(model.protocols)}. Repair: choose the evaluator objects for "
            f"prompted protocols, or add the protocol {model.UNPROMPTED} for the others"
        )
    return chosen
