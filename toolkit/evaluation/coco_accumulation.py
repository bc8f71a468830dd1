"""COCO's matching and accumulation for overlaps that hotcoco does not know, such as those along boundaries,
and for images that are matched once and counted often, as in a bootstrap.

The rules are those of pycocotools. Only pairs that overlap by the lowest threshold are looked at, which is
exact, since no other pair can match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import hotcoco
import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.coco_matching import (
    Bools,
    Floats,
    Found,
    Ints,
    best_detections,
    overlaps_within,
    ranks_within,
)
from toolkit.evaluation.coco_tables import ImageTable, by_label, columns_of

UNMATCHED, MATCHED, IGNORED = range(3)

Pair = tuple[float, int]
"""An overlap, and the place of the object."""


@dataclass(frozen=True)
class ImageMatches:
    """The detections and objects of one image.

    Attributes:
        labels, scores: int64 and float64 ``[D]``, by descending score.
        ranks: int64 ``[D]``, the place of a detection among those of its class.
        states: int8 ``[A, T, D]``, for each range of areas and each threshold whether a detection has found
            an object, has not, or does not count.
        true_labels: int64 ``[G]``.
        counted: bool ``[A, G]``, which objects are to be found.
    """

    labels: Ints
    scores: Floats
    ranks: Ints
    states: NDArray[np.int8]
    true_labels: Ints
    counted: Bools


def match_table(images: Sequence[ImageMatches], parameters: hotcoco.Params) -> ImageTable:
    """Images as a table; detections with equal scores are ranked in this order. The states are in the form
    ``[D, A, T]`` there, and ``counted`` is ``[G, A]``.
    """
    ranges, thresholds = len(parameters.area_rng), len(parameters.iou_thrs)
    numbers = np.zeros(0, dtype=np.int64)
    detections = columns_of(images, {"labels": numbers, "scores": np.zeros(0), "ranks": numbers})
    states = [np.zeros((ranges, thresholds, 0), dtype=np.int8), *(image.states for image in images)]
    counted = [np.zeros((ranges, 0), dtype=np.bool_), *(image.counted for image in images)]
    return ImageTable(
        detections | {"states": np.ascontiguousarray(np.concatenate(states, axis=2).transpose(2, 0, 1))},
        columns_of(images, {"true_labels": numbers})
        | {"counted": np.ascontiguousarray(np.concatenate(counted, axis=1).T)},
        np.array([len(image.labels) for image in images], dtype=np.int64),
        np.array([len(image.true_labels) for image in images], dtype=np.int64),
    )


def match_overlaps(truth: Found, detections: Found, parameters: hotcoco.Params) -> ImageMatches:
    """Match the boxes or masks of one image.

    Args:
        truth, detections: with areas.
        parameters: limits, thresholds and ranges of areas.
    """
    detections = best_detections(detections, parameters.max_dets[-1])
    return match_image(truth, detections, overlaps_within(detections, truth), parameters)


def match_image(
    truth: Found, detections: Found, overlaps: Floats, parameters: hotcoco.Params
) -> ImageMatches:
    """Match the detections of one image with its objects.

    Args:
        truth: with areas.
        detections: in descending order of their scores, with areas; at most as many of a class as count.
        overlaps: float64 ``[D, G]``, 0 between classes.
        parameters: thresholds and ranges of areas.
    """
    assert truth.areas is not None
    assert detections.areas is not None
    ranges = np.asarray(parameters.area_rng)
    outside = (truth.areas < ranges[:, :1]) | (truth.areas > ranges[:, 1:]) | truth.crowd
    too_different = (detections.areas < ranges[:, :1]) | (detections.areas > ranges[:, 1:])
    thresholds = np.minimum(parameters.iou_thrs, 1 - 1e-10)
    states = np.where(too_different, np.int8(IGNORED), np.int8(UNMATCHED))
    states = np.repeat(states[:, None], len(thresholds), axis=1)
    rows, columns = np.nonzero(overlaps >= thresholds.min())
    is_alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    _match_alone(states, rows[is_alone], columns[is_alone], overlaps, outside, thresholds)
    if not is_alone.all():
        others = _options(rows[~is_alone], columns[~is_alone], overlaps)
        _match_in_turn(states, others, truth.crowd, outside, thresholds)
    labels = detections.labels
    return ImageMatches(labels, detections.scores, ranks_within(labels), states, truth.labels, ~outside)


def _match_alone(
    states: NDArray[np.int8],
    rows: Ints,
    columns: Ints,
    overlaps: Floats,
    outside: Bools,
    thresholds: Floats,
) -> None:
    """Match detections with the only objects that they overlap, which overlap no others."""
    if not len(rows):
        return
    reached = overlaps[rows, columns] >= thresholds[:, None]
    found = np.where(outside[:, columns], np.int8(IGNORED), np.int8(MATCHED))
    states[:, :, rows] = np.where(reached[None], found[:, None], states[:, :, rows])


def _options(rows: Ints, columns: Ints, overlaps: Floats) -> list[tuple[int, list[Pair]]]:
    """For each detection that may match, the objects that it overlaps."""
    options: dict[int, list[Pair]] = {}
    values = overlaps[rows, columns].tolist()
    for row, value, column in zip(rows.tolist(), values, columns.tolist(), strict=True):
        options.setdefault(row, []).append((value, column))
    return list(options.items())


def _match_in_turn(
    states: NDArray[np.int8],
    pairs: Sequence[tuple[int, list[Pair]]],
    crowd: Bools,
    outside: Bools,
    thresholds: Floats,
) -> None:
    """Match detections that compete for objects, or that overlap several, one after the other."""
    crowds = crowd.tolist()
    known: dict[tuple[bool, ...], list[tuple[int, int, int]]] = {}
    for area, left_out in enumerate(map(tuple, outside.tolist())):
        # Mostly, several ranges of areas leave out the same objects of an image.
        if left_out not in known:
            known[left_out] = [
                (place, row, state)
                for place, threshold in enumerate(thresholds.tolist())
                for row, state in _match(pairs, threshold, left_out, crowds)
            ]
        for place, row, state in known[left_out]:
            states[area, place, row] = state


def _match(
    pairs: Sequence[tuple[int, list[Pair]]], threshold: float, left_out: Sequence[bool], crowd: Sequence[bool]
) -> Iterator[tuple[int, int]]:
    """The detections that have found an object at one threshold, and those that have found only one that does
    not count. Of objects that overlap equally, the last is taken.
    """
    taken: set[int] = set()
    for row, options in pairs:
        free = [pair for pair in options if pair[0] >= threshold and pair[1] not in taken]
        if not free:
            continue
        counted = [pair for pair in free if not left_out[pair[1]]]
        _, column = max(counted or free)
        if not crowd[column]:
            taken.add(column)
        yield row, MATCHED if counted else IGNORED


def accumulate(table: ImageTable, classes: int, parameters: hotcoco.Params) -> dict[str, Floats]:
    """Precision and recall of all images.

    Args:
        table: of ``match_table``.
        classes: how many there are; labels are places among them.
        parameters: limits on the number of detections, and levels of recall.

    Returns:
        As ``hotcoco.COCOeval.eval``, with -1 where there are no objects: ``precision`` float64
        ``[T, R, C, A, 1]`` for the last limit, and ``recall`` float64 ``[T, C, A, M]``.
    """
    levels, limits = np.asarray(parameters.rec_thrs), parameters.max_dets
    thresholds, areas = len(parameters.iou_thrs), len(parameters.area_rng)
    precision = np.full((thresholds, len(levels), classes, areas, 1), -1.0)
    recall = np.full((thresholds, classes, areas, len(limits)), -1.0)
    true, counted = table.objects["true_labels"], table.objects["counted"]
    objects = np.stack([np.bincount(true[column], minlength=classes) for column in counted.T])
    order = np.argsort(-table.detections["scores"], kind="stable")
    order = order[by_label(table.detections["labels"][order], classes)]
    bounds = np.searchsorted(table.detections["labels"][order], np.arange(classes + 1)).tolist()
    for label, (start, end) in enumerate(pairwise(bounds)):
        mine = order[start:end]
        ranks, states = table.detections["ranks"][mine], table.detections["states"][mine]
        for area in np.flatnonzero(objects[:, label]).tolist():
            count, seen = int(objects[area, label]), np.ascontiguousarray(states[:, area].T)
            matched = seen == MATCHED
            for place, limit in enumerate(limits):
                recall[:, label, area, place] = matched[:, ranks < limit].sum(1) / count
            precision[:, :, label, area, 0] = _precision(matched, seen != IGNORED, count, levels)
    return {"precision": precision, "recall": recall}


def _precision(matched: Bools, counted: Bools, objects: int, levels: Floats) -> Floats:
    """The best precision at or beyond each level of recall, float64 ``[T, R]``.

    Only detections that are right are looked at: recall rises there alone, and between them precision falls.
    """
    hits = matched.sum(1)
    rows, places = np.nonzero(matched)
    found = np.arange(len(rows)) - np.repeat(np.cumsum(hits) - hits, hits)
    precisions = np.zeros((len(matched), max(1, int(hits.max(initial=0)))))
    precisions[rows, found] = (found + 1) / (np.cumsum(counted, axis=1)[rows, places] + np.spacing(1))
    best = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    needed = np.searchsorted(np.arange(1, objects + 1) / objects, levels, side="left")
    inside = needed[None] < hits[:, None]
    return np.where(inside, best[:, np.minimum(needed, best.shape[1] - 1)], 0.0)
