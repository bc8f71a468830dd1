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
from toolkit.evaluation.coco_tables import ImageTable, by_label, columns_of

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
    def of(cls, table: ImageTable, classes: int) -> Detections:
        """Those of images, in their order where scores are equal, as for AP.

        Args:
            table: of ``judged_table``.
            classes: how many there are.
        """
        order = np.argsort(-table.detections["scores"], kind="stable")
        sorted_columns = {name: values[order] for name, values in table.detections.items()}
        true, found, missed = (table.objects[name] for name in ("true_labels", "found", "missed"))
        counts = [np.bincount(labels, minlength=classes) for labels in (true, true[found], true[missed])]
        return cls(**sorted_columns, objects=counts[0], found=counts[1], missed=counts[2])


def judged_table(images: Sequence[Judged]) -> ImageTable:
    """Images as a table; detections with equal scores are ranked in this order."""
    numbers, flags = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    detections = {"scores": np.zeros(0), "labels": numbers, "correct": flags, "ignored": flags}
    return ImageTable(
        columns_of(images, detections | {"errors": numbers, "fixed": numbers}),
        columns_of(images, {"true_labels": numbers, "found": flags, "missed": flags}),
        np.array([len(image.scores) for image in images], dtype=np.int64),
        np.array([len(image.true_labels) for image in images], dtype=np.int64),
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
