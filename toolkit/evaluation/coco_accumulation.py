"""COCO's matching and accumulation for overlaps that hotcoco does not know, such as those along boundaries.

The rules are those of pycocotools. Only pairs that overlap by the lowest threshold are looked at, which is
exact, since no other pair can match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import hotcoco
import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_matching import Floats, Found

UNMATCHED, MATCHED, IGNORED = range(3)

Pair = tuple[float, int]
"""An overlap, and the place of the object."""


@dataclass(frozen=True)
class ClassMatches:
    """The detections and objects of one class in one image.

    Attributes:
        label: of the class.
        scores: float64 ``[D]``, in descending order.
        states: int8 ``[A, T, D]``, for each range of areas and each threshold whether a detection has found
            an object, has not, or does not count.
        objects: int64 ``[A]``, how many there are to be found.
    """

    label: int
    scores: Floats
    states: NDArray[np.int8]
    objects: NDArray[np.int64]


def match_image(
    truth: Found, detections: Found, overlaps: Floats, parameters: hotcoco.Params
) -> list[ClassMatches]:
    """Match the detections of one image with its objects, class by class.

    Args:
        truth: with areas.
        detections: in descending order of their scores, with areas; at most as many of a class as count.
        overlaps: float64 ``[D, G]``; those below the lowest threshold and between classes are not looked at.
        parameters: thresholds and ranges of areas.
    """
    assert truth.areas is not None
    assert detections.areas is not None
    ranges = np.asarray(parameters.area_rng)
    outside = (truth.areas < ranges[:, :1]) | (truth.areas > ranges[:, 1:]) | truth.crowd
    too_different = (detections.areas < ranges[:, :1]) | (detections.areas > ranges[:, 1:])
    thresholds = np.minimum(parameters.iou_thrs, 1 - 1e-10)
    matches = []
    for label in np.union1d(truth.labels, detections.labels).tolist():
        rows, columns = np.flatnonzero(detections.labels == label), np.flatnonzero(truth.labels == label)
        states = np.where(too_different[:, None, rows], IGNORED, UNMATCHED).astype(np.int8)
        states = np.repeat(states, len(thresholds), axis=1)
        pairs = _pairs(overlaps[np.ix_(rows, columns)], float(thresholds.min()))
        for area, left_out in enumerate(outside[:, columns] if pairs else ()):
            for place, threshold in enumerate(thresholds.tolist()):
                _match(
                    states[area, place], pairs, threshold, left_out.tolist(), truth.crowd[columns].tolist()
                )
        objects = (~outside[:, columns]).sum(1)
        matches.append(ClassMatches(label, detections.scores[rows], states, objects))
    return matches


def _pairs(overlaps: Floats, least: float) -> list[tuple[int, list[Pair]]]:
    """For each detection that may match, the objects that it overlaps."""
    rows, columns = np.nonzero(overlaps >= least)
    pairs: dict[int, list[Pair]] = {}
    values = overlaps[rows, columns].tolist()
    for row, value, column in zip(rows.tolist(), values, columns.tolist(), strict=True):
        pairs.setdefault(row, []).append((value, column))
    return list(pairs.items())


def _match(
    states: NDArray[np.int8],
    pairs: Sequence[tuple[int, list[Pair]]],
    threshold: float,
    left_out: Sequence[bool],
    crowd: Sequence[bool],
) -> None:
    """Write into ``states`` which detections have found an object at one threshold, and which only one that
    does not count. Of objects that overlap equally, the last is taken.
    """
    taken: set[int] = set()
    for row, options in pairs:
        free = [pair for pair in options if pair[0] >= threshold and pair[1] not in taken]
        if not free:
            continue
        counted = [pair for pair in free if not left_out[pair[1]]]
        states[row] = MATCHED if counted else IGNORED
        _, column = max(counted or free)
        if not crowd[column]:
            taken.add(column)


def accumulate(
    images: Sequence[Sequence[ClassMatches]], classes: int, parameters: hotcoco.Params
) -> dict[str, Floats]:
    """Precision and recall of all images.

    Args:
        images: detections with equal scores are ranked in this order.
        classes: how many there are; labels are places among them.
        parameters: limits on the number of detections, and levels of recall.

    Returns:
        As ``hotcoco.COCOeval.eval``, with -1 where there are no objects: ``precision`` float64
        ``[T, R, C, A, 1]`` for the last limit, and ``recall`` float64 ``[T, C, A, M]``.
    """
    by_class: list[list[ClassMatches]] = [[] for _ in range(classes)]
    for image in images:
        for each in image:
            by_class[each.label].append(each)
    levels, limits = np.asarray(parameters.rec_thrs), parameters.max_dets
    thresholds, areas = len(parameters.iou_thrs), len(parameters.area_rng)
    precision = np.full((thresholds, len(levels), classes, areas, 1), -1.0)
    recall = np.full((thresholds, classes, areas, len(limits)), -1.0)
    for label, parts in enumerate(by_class):
        objects = sum((part.objects for part in parts), np.zeros(areas, dtype=np.int64))
        if not objects.any():
            continue
        ranks = np.concatenate([np.arange(len(part.scores)) for part in parts])
        states = np.concatenate([part.states for part in parts], axis=2)
        order = np.argsort(-np.concatenate([part.scores for part in parts]), kind="stable")
        for area in np.flatnonzero(objects).tolist():
            found = states[area] == MATCHED
            for place, limit in enumerate(limits):
                recall[:, label, area, place] = found[:, ranks < limit].sum(1) / objects[area]
            precision[:, :, label, area, 0] = _precision(states[area][:, order], int(objects[area]), levels)
    return {"precision": precision, "recall": recall}


def _precision(states: NDArray[np.int8], objects: int, levels: Floats) -> Floats:
    """The best precision at or beyond each level of recall, float64 ``[T, R]``."""
    values = np.zeros((len(states), len(levels)))
    found = np.cumsum(states == MATCHED, axis=1, dtype=np.float64)
    wrong = np.cumsum(states == UNMATCHED, axis=1, dtype=np.float64)
    precisions = found / (found + wrong + np.spacing(1))
    best = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    for place, row in enumerate(best):
        reached = np.searchsorted(found[place] / objects, levels, side="left")
        inside = reached < len(row)
        values[place, inside] = row[reached[inside]]
    return values
