"""Prompt protocols: how promptable models are measured, and with which evaluators.

A promptable model is measured once for each of its protocols, with prompts taken from the true objects:
``box``; ``point``, the most interior point; ``point+N``, with N corrections; and ``auto``, without prompts,
whose objects have to be matched with the true ones. In all others, the instances of a prediction are in the
order of the sample's, one to one. The metrics are prefixed with the protocol's name: ``box/mean_iou``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from toolkit.errors import UsageError
from toolkit.evaluation.base import AnswerEvaluator, Evaluator
from toolkit.evaluation.report import Report
from toolkit.models import simulated_prompts
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.models.learned import note_on_protocol
from toolkit.models.simulated_prompts import AUTO, BOX
from toolkit.types import Instances, Prediction, Sample

Labeled = TypeVar("Labeled", Sample, Prediction)

PLAIN = ""
"""Used in place of a protocol's name for what ``Model.predict`` returns."""


@dataclass(frozen=True)
class Measurement:
    """An evaluator and the predictions of a model that it measures.

    Attributes:
        evaluator: computes the metrics.
        protocol: one of the model's prompt protocols, or ``PLAIN``.
        note: what a reader of the metrics needs to know about the protocol.
    """

    evaluator: Evaluator
    protocol: str = PLAIN
    note: str = ""

    def update(self, samples: Sequence[Sample], predictions: Mapping[str, Sequence[Prediction]]) -> None:
        """Add the predictions of its protocol, one per sample."""
        chosen = predictions[self.protocol]
        if self.protocol == AUTO:
            samples = [_without_classes(sample) for sample in samples]
            chosen = [_without_classes(prediction) for prediction in chosen]
        self.evaluator.update(samples, chosen)

    def report(self) -> Report:
        """The metrics so far, with the protocol in their names."""
        report = self.evaluator.report()
        if self.protocol == PLAIN:
            return report
        named = replace(
            report,
            name=f"{report.name}, protocol {self.protocol}",
            metrics={f"{self.protocol}/{name}": value for name, value in report.metrics.items()},
            lower_is_better=tuple(f"{self.protocol}/{name}" for name in report.lower_is_better),
            details=tuple(
                f"{self.protocol}/{name}" if name in report.metrics else name for name in report.details
            ),
            notes=(*report.notes, self.note) if self.note else report.notes,
        )
        if self.protocol != AUTO:
            return named
        notes = (
            *named.notes,
            "Objects found without prompts have no class, so all objects count as one class.",
        )
        return replace(named, per_class={}, classes=(), notes=notes)


def plan_measurements(
    model: Model, evaluators: Sequence[Evaluator], start_weights: Mapping[str, str] | None = None
) -> list[Measurement]:
    """The evaluators for a model; for a promptable model, a copy for each protocol that they support.

    Args:
        model: the model to measure.
        evaluators: the evaluators that measure it.
        start_weights: what its training started from, as in a checkpoint's manifest; None if unknown.

    Raises:
        UsageError: when an evaluator supports none of the model's protocols.
    """
    if not isinstance(model, Promptable):
        for evaluator in evaluators:
            if isinstance(evaluator, AnswerEvaluator):
                raise UsageError(
                    f"the evaluator {type(evaluator).__name__.lower()} measures answers to prompts, but"
                    " this model takes no prompts. Hint: choose the evaluator coco or iou"
                )
        return [Measurement(evaluator) for evaluator in evaluators]
    chosen = [
        Measurement(
            copy.deepcopy(evaluator), protocol, note_on_protocol(model, protocol, start_weights or {})
        )
        for protocol in model.protocols
        for evaluator in evaluators
        if isinstance(evaluator, AnswerEvaluator) == (protocol != AUTO)
    ]
    if evaluators and not chosen:
        names = ", ".join(type(each).__name__.lower() for each in evaluators)
        raise UsageError(
            f"the evaluator {names} supports none of the protocols {', '.join(model.protocols)}. Hint: choose"
            f" the evaluator objects for prompted protocols, or add the protocol {AUTO} for the others"
        )
    return chosen


def predict_protocols(model: Promptable, samples: Sequence[Sample]) -> dict[str, list[Prediction]]:
    """One prediction per sample for each of a model's protocols; each image is encoded once.

    Raises:
        InvalidDataError: when a sample has no masks to take prompts from, or a protocol's name is unknown.
    """
    rounds = {protocol: simulated_prompts.corrections_of(protocol) for protocol in model.protocols}
    predictions: dict[str, list[Prediction]] = {protocol: [] for protocol in rounds}
    for sample, encoded in zip(samples, model.encode(samples), strict=True):
        answers = _answers(model, encoded, simulated_prompts.truth_of(sample), rounds)
        for protocol, instances in answers.items():
            predictions[protocol].append(Prediction(sample.id, sample.size, instances=instances))
    return predictions


def _answers(
    model: Promptable, encoded: object, truth: Instances, rounds: Mapping[str, int]
) -> dict[str, Instances]:
    """The answers to all protocols for one image; protocols that begin with the same clicks share them."""
    answers: dict[str, Instances] = {}
    if BOX in rounds:
        answers[BOX] = model.answer(encoded, simulated_prompts.box_prompts(truth))
    if AUTO in rounds:
        answers[AUTO] = model.find_all(encoded)
    clicked = {protocol: count for protocol, count in rounds.items() if protocol not in answers}
    if clicked:
        prompts = simulated_prompts.point_prompts(truth)
        for count in range(max(clicked.values()) + 1):
            current = model.answer(encoded, prompts)
            answers |= {protocol: current for protocol, wanted in clicked.items() if wanted == count}
            if count < max(clicked.values()) and truth.masks is not None and current.masks is not None:
                prompts = simulated_prompts.with_corrections(prompts, truth.masks, current.masks)
    return answers


def _without_classes(labeled: Labeled) -> Labeled:
    """Assign all objects to the first class, for predictions of objects without a class."""
    instances = labeled.instances
    if instances is None:
        return labeled
    return replace(labeled, instances=replace(instances, labels=torch.zeros_like(instances.labels)))
