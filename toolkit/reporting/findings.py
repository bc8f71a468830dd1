"""What a report is made of: everything that was found out about a model, before it is put into words and
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.data.dataset import Dataset
from toolkit.evaluation.bootstrap import Difference
from toolkit.evaluation.report import Report
from toolkit.reporting.explanations import Explanations
from toolkit.reporting.near_copies import NearCopies
from toolkit.reporting.observer import Observer


@dataclass(frozen=True)
class Reference:
    """Another model that was measured on the same images.

    Attributes:
        name: what it is called.
        metrics: by name.
        differences: the model of the report minus this one, by the names of metrics.
    """

    name: str
    metrics: Mapping[str, float]
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Findings:
    """What was found out about a model.

    Attributes:
        name: what the model, or the predictions, are called.
        data, split: what they were measured on.
        dataset: the split.
        reports: of the evaluators.
        observer: has seen all images.
        threshold: the score that a detection needs to be shown.
        intervals: low and high end for metrics, by name.
        reference: another model; None without one.
        notes: sentences that a reader needs to judge the figures.
        model: facts about the model by name, such as plugin and step.
        settings: of the run, nested.
        figures: the lines of the run's metrics.jsonl.
        copies: images that are nearly others; None where nobody has looked.
        explanations: maps of what matters for predictions, with their scores.
    """

    name: str
    data: str
    split: str
    dataset: Dataset
    reports: Sequence[Report]
    observer: Observer
    threshold: float
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reference: Reference | None = None
    notes: Sequence[str] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Sequence[Mapping[str, Any]] = ()
    copies: NearCopies | None = None
    explanations: Explanations = field(default_factory=Explanations)
