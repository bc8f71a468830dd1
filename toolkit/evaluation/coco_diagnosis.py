"""What is wrong with detections, as figures of the evaluator ``coco``: what errors cost, what is confused
with what, whether scores mean what they say, and from which score on detections are worth keeping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from toolkit.evaluation.calibration import Bins
from toolkit.evaluation.coco_errors import (
    MAIN,
    MISSED,
    Breakdown,
    Detections,
    break_down,
    judged_table,
)
from toolkit.evaluation.coco_figures import Figures
from toolkit.evaluation.coco_matching import NONE, Floats, Ints, Judged, Thresholds
from toolkit.evaluation.coco_tables import ImageTable, by_label
from toolkit.evaluation.coco_thresholds import GRID, BestThreshold, best_thresholds, score_curves
from toolkit.evaluation.coco_words import KINDS, errors_in_words, thresholds_in_words
from toolkit.evaluation.report import Curve, Matrix

NOTHING = "nothing"
"""In a confusion matrix, the row of detections that found no object, and the column of objects that were not
found.
"""

DIAGNOSED = tuple(KINDS)
"""The kinds of overlap that are diagnosed; keypoints are not."""


def diagnose(
    images: Sequence[Judged], kind: str, classes: Sequence[str], thresholds: Thresholds, bins: int
) -> Figures:
    """The figures of all images together.

    Args:
        images: judged with ``thresholds``; detections with equal scores are ranked in this order.
        kind: of overlap, which names begin with.
        classes: the names of the classes.
        thresholds: that were used.
        bins: of the reliability diagram.
    """
    detections = Detections.of(judged_table(images), len(classes))
    breakdown = break_down(detections)
    best = best_thresholds(detections)
    every = _calibration(detections, bins)
    metrics = _metrics(breakdown, best, every)
    per_class = {f"dAP_{name}": values for name, values in breakdown.class_costs.items()}
    per_class |= {
        "F1": [each.f1 for each in best],
        "F1_threshold": [each.threshold for each in best],
        "F1_precision": [each.precision for each in best],
        "F1_recall": [each.recall for each in best],
        "ECE": _class_errors(detections, len(classes), bins),
    }
    by_score = _curves(detections, classes)
    curves = by_score | ({"reliability": every.curve("detections")} if every else {})
    return Figures(
        _named(kind, metrics),
        _named(kind, per_class),
        _named(kind, curves),
        {f"{kind}/confusion": _confusion(images, classes), f"{kind}/errors": _errors(detections, classes)},
        _per_image(images, kind, thresholds.confusion),
        _lower_is_better(kind, metrics),
        tuple(_named(kind, metrics | per_class | by_score)),
        (
            *errors_in_words(kind, breakdown.ap, breakdown.costs, thresholds.match),
            *thresholds_in_words(kind, classes, best, detections.objects.tolist()),
        ),
        _notes(kind, detections),
    )


def diagnose_draw(table: ImageTable, kind: str, classes: int, bins: int) -> Figures:
    """The metrics alone, of images that a bootstrap has drawn.

    Args:
        table: of ``toolkit.evaluation.coco_errors.judged_table``.
        kind, bins: as for ``diagnose``.
        classes: how many there are.
    """
    detections = Detections.of(table, classes)
    best = best_thresholds(detections)
    metrics = _metrics(break_down(detections), best, _calibration(detections, bins))
    return Figures(_named(kind, metrics), {}, {}, lower_is_better=_lower_is_better(kind, metrics))


def _metrics(breakdown: Breakdown, best: Sequence[BestThreshold], every: Bins | None) -> dict[str, float]:
    metrics = {f"dAP_{name}": value for name, value in breakdown.costs.items()}
    return metrics | {
        "F1": _mean([each.f1 for each in best]),
        "ECE": every.error if every else float("nan"),
    }


def _lower_is_better(kind: str, metrics: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(f"{kind}/{name}" for name in metrics if name != "F1")


def _named(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{kind}/{name}": value for name, value in values.items()}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _are_probabilities(detections: Detections) -> bool:
    return not len(detections.scores) or (detections.scores[-1] >= 0 and detections.scores[0] <= 1)


def _calibration(detections: Detections, bins: int) -> Bins | None:
    """The bins of all classes; None where scores are no probabilities."""
    if not _are_probabilities(detections):
        return None
    counted = ~detections.ignored
    return Bins.of(_rounded(detections.scores[counted]), detections.correct[counted], bins)


def _class_errors(detections: Detections, classes: int, bins: int) -> list[float]:
    """The calibration error of each class; NaN where scores are no probabilities."""
    if not _are_probabilities(detections):
        return [float("nan")] * classes
    counted = ~detections.ignored
    scores, correct = _rounded(detections.scores[counted]), detections.correct[counted]
    labels = detections.labels[counted]
    order = by_label(labels, classes)
    bounds = np.searchsorted(labels[order], np.arange(classes + 1))
    parts = [order[start:end] for start, end in pairwise(bounds.tolist())]
    return [Bins.of(scores[part], correct[part], bins).error for part in parts]


def _rounded(scores: Floats) -> Floats:
    """0.35 lies in the same bin whether it came as float32 from a model or as float64 from a file."""
    return scores.astype(np.float32).astype(np.float64)


def _notes(kind: str, detections: Detections) -> tuple[str, ...]:
    if _are_probabilities(detections):
        return ()
    return (
        f"Scores reach from {detections.scores[-1]:g} to {detections.scores[0]:g}, so they are no"
        f" probabilities, and {kind}/ECE is undefined.",
    )


def _curves(detections: Detections, classes: Sequence[str]) -> dict[str, Curve]:
    """Precision, recall and F1 of each class over the score threshold."""
    found = score_curves(detections)
    lines = {
        name: {
            label: getattr(curves, name)[::-1].tolist() for label, curves in zip(classes, found, strict=True)
        }
        for name in ("precision", "recall", "f1")
    }
    names = {"f1": "F1"}
    return {
        f"{names.get(name, name)} by score": Curve(
            "score threshold", names.get(name, name), GRID.tolist(), by_class
        )
        for name, by_class in lines.items()
    }


def _confusion(images: Sequence[Judged], classes: Sequence[str]) -> Matrix:
    """Counts of true and predicted classes; ``NONE`` is -1, and so the last row and column."""
    counts: Ints = np.zeros((len(classes) + 1, len(classes) + 1), dtype=np.int64)
    if images:
        pairs = np.concatenate([image.confused for image in images])
        np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    names = [*classes, NOTHING]
    return Matrix("true class", "predicted class", names, names, counts.tolist())


def _errors(detections: Detections, classes: Sequence[str]) -> Matrix:
    """How many errors of each kind the detections of each class are, and how many of its objects are
    missed.
    """
    counts: Ints = np.zeros((len(classes), len(MAIN)), dtype=np.int64)
    wrong = detections.errors != NONE
    np.add.at(counts, (detections.labels[wrong], detections.errors[wrong]), 1)
    counts[:, MAIN.index(MISSED)] = detections.missed
    return Matrix("class", "kind of error", list(classes), list(MAIN), counts.tolist())


def _per_image(images: Sequence[Judged], kind: str, score: float) -> dict[str, list[float]]:
    """For each image, of the detections from a score on: how many are wrong, how many objects they miss, and
    their F1, which is NaN where there is neither an object nor a detection.
    """
    values: dict[str, list[float]] = {"F1": [], "wrong": [], "missed": []}
    for image in images:
        kept = (image.scores >= score) & ~image.ignored
        right, objects = int(image.correct[kept].sum()), len(image.true_labels)
        both = int(kept.sum()) + objects
        values["F1"].append(2 * right / both if both else float("nan"))
        values["wrong"].append(float(kept.sum() - right))
        values["missed"].append(float(objects - right))
    return _named(kind, values)
