"""What each kind of error costs: by how much AP would rise if it did not occur.

After Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors" (ECCV 2020), and equal
to their package ``tidecv``, but for the classes that the mean is over: those that have objects, as for AP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hotcoco import metrics

from toolkit.evaluation.coco_matching import (
    CLASSIFICATION,
    ERRORS,
    LOCALIZATION,
    NONE,
    Bools,
    Floats,
    Ints,
    Judged,
)

MISSED, FALSE_POSITIVES, FALSE_NEGATIVES = "missed", "false_positives", "false_negatives"
MAIN = (*ERRORS, MISSED)
"""The kinds that exclude each other: a wrong detection has one of them, and so has a missed object."""
COSTS = (*MAIN, FALSE_POSITIVES, FALSE_NEGATIVES)


@dataclass(frozen=True)
class Detections:
    """The detections and objects of all images that were judged, the detections with the highest scores
    first; see ``Judged`` for the fields.

    Attributes:
        objects: objects of each class, int64 ``[C]``; ``missed`` and ``found`` likewise.
    """

    scores: Floats
    labels: Ints
    correct: Bools
    ignored: Bools
    errors: Ints
    fixed: Ints
    objects: Ints
    found: Ints
    missed: Ints

    @classmethod
    def of(cls, images: Sequence[Judged], classes: int) -> Detections:
        """Those of images, in their order where scores are equal, as for AP."""

        def joined(name: str, dtype: type) -> np.ndarray:
            return np.concatenate([np.zeros(0, dtype), *(getattr(image, name) for image in images)])

        order = np.argsort(-joined("scores", np.float64), kind="stable")
        true = joined("true_labels", np.int64)
        counts = [
            np.bincount(true[chosen], minlength=classes)
            for chosen in (slice(None), joined("found", np.bool_), joined("missed", np.bool_))
        ]
        return cls(
            joined("scores", np.float64)[order],
            joined("labels", np.int64)[order],
            joined("correct", np.bool_)[order],
            joined("ignored", np.bool_)[order],
            joined("errors", np.int64)[order],
            joined("fixed", np.int64)[order],
            *counts,
        )


@dataclass(frozen=True)
class Breakdown:
    """AP at one IoU, and what errors cost.

    Attributes:
        ap: the mean over the classes that have objects; NaN if none has.
        costs: of each of ``COSTS``, how much higher ``ap`` would be without it, 0 or more.
        class_ap: of each class; NaN if it has no objects.
        class_costs: likewise for each class; a class without objects has none.
        counts: how many errors of each kind of ``MAIN`` there are.
    """

    ap: float
    costs: dict[str, float]
    class_ap: list[float]
    class_costs: dict[str, list[float]]
    counts: dict[str, int]


def break_down(detections: Detections) -> Breakdown:
    """What each kind of error costs."""
    every, correct, errors = ~detections.ignored, detections.correct, detections.errors
    has_objects = detections.objects > 0
    base, _ = _precisions(detections, detections.labels, every, correct, detections.objects)
    mean = float(base[has_objects].mean()) if has_objects.any() else np.nan
    costs: dict[str, float] = {}
    class_costs: dict[str, list[float]] = {}
    for name in COSTS:
        labels, kept, right, objects = detections.labels, every, correct, detections.objects
        if name in ERRORS:
            wrong = errors == ERRORS.index(name)
            kept = kept & ~wrong
            if name in (ERRORS[CLASSIFICATION], ERRORS[LOCALIZATION]):
                mended = wrong & (detections.fixed != NONE)
                labels = np.where(mended, detections.fixed, labels)
                kept, right = kept | mended, right | mended
        elif name == FALSE_POSITIVES:
            kept = kept & correct
        else:
            objects = objects - detections.missed if name == MISSED else detections.found
        values, is_empty = _precisions(detections, labels, kept, right, objects)
        counted = has_objects & ~is_empty
        # Where nothing is left to be found or to be wrong about, all is right.
        best = values[counted].mean() if counted.any() else 1.0
        costs[name] = max(float(best) - mean, 0.0) if has_objects.any() else np.nan
        rise = np.maximum(np.where(is_empty, 1.0, values) - base, 0.0)
        class_costs[name] = np.where(has_objects, rise, np.nan).tolist()
    counts = {name: int((errors == kind).sum()) for kind, name in enumerate(ERRORS)}
    counts[MISSED] = int(detections.missed.sum())
    return Breakdown(mean, costs, np.where(has_objects, base, np.nan).tolist(), class_costs, counts)


def by_label(labels: Ints, classes: int) -> Ints:
    """The places of detections, class by class, in their order within each; small numbers are sorted ten
    times as fast.
    """
    small = labels.astype(np.int16) if classes <= np.iinfo(np.int16).max else labels
    return np.argsort(small, kind="stable")


def _precisions(
    detections: Detections, labels: Ints, kept: Bools, right: Bools, objects: Ints
) -> tuple[Floats, Bools]:
    """The AP of each class (0 without objects), and which have neither objects nor detections."""
    values, is_empty = np.zeros(len(objects)), np.zeros(len(objects), dtype=np.bool_)
    places = np.flatnonzero(kept)
    order = places[by_label(labels[places], len(objects))]
    bounds = np.searchsorted(labels[order], np.arange(len(objects) + 1))
    for label, (start, end) in enumerate(pairwise(bounds.tolist())):
        mine = order[start:end]
        is_empty[label] = not len(mine) and not objects[label]
        if len(mine) and objects[label]:
            values[label] = metrics.average_precision(
                detections.scores[mine], right[mine], int(objects[label])
            )
    return values, is_empty
