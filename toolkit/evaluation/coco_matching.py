"""Which detections of an image are right at one IoU, and what is wrong with the others.

The kinds of errors are those of Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection
Errors" (ECCV 2020). Detections are matched as for COCO's AP: in the order of their scores, each with the
object of its class that it overlaps most, among those that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hotcoco import primitives
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ERRORS = ("classification", "localization", "both", "duplicate", "background")
"""The kinds of wrong detections; an error is a place in this list."""
CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND = range(len(ERRORS))
NONE = -1


@dataclass(frozen=True)
class Found:
    """The objects or the detections of one image, as far as matching needs them.

    Attributes:
        boxes: float64 ``[N, 4]`` as x, y, width, height.
        labels: int64 ``[N]``.
        scores: float64 ``[N]``; zeros for objects.
        crowd: bool ``[N]``; False for detections.
        codes: ``N`` COCO run-length dictionaries where masks are compared.
        areas: float64 ``[N]``, in square pixels, which decide whether an object is small or large; None where
            all count alike.
    """

    boxes: Floats
    labels: Ints
    scores: Floats
    crowd: Bools
    codes: list[dict[str, Any]] | None = None
    areas: Floats | None = None

    def __getitem__(self, index: NDArray[Any]) -> Found:
        codes = None if self.codes is None else [self.codes[i] for i in np.arange(len(self.labels))[index]]
        areas = None if self.areas is None else self.areas[index]
        arrays = (self.boxes[index], self.labels[index], self.scores[index], self.crowd[index])
        return Found(*arrays, codes, areas)


@dataclass(frozen=True)
class Thresholds:
    """What counts as what.

    Attributes:
        match: the IoU from which a detection has found an object.
        background: the IoU up to which it has found nothing.
        confusion: the score from which detections are in the confusion matrix.
        limit: detections of a class in an image that count, those with the highest scores.
    """

    match: float
    background: float
    confusion: float
    limit: int

    @cached_property
    def key(self) -> str:
        """Stands for all of them in a dictionary; text knows its hash, which is asked for once per image."""
        return repr(self)


@dataclass(frozen=True)
class Judged:
    """One image, judged. Detections are in descending order of their scores, ``D`` of them; objects without
    crowds, ``G``.

    Attributes:
        scores, labels: float64 and int64 ``[D]``.
        correct: bool ``[D]``.
        ignored: bool ``[D]``, in a crowd of its class; neither right nor wrong.
        errors: int64 ``[D]``, places in ``ERRORS``, ``NONE`` where the detection is right.
        fixed: int64 ``[D]``, the class of the object that a wrong detection would have found but for its
            class or its place; ``NONE`` where another detection has it.
        true_labels: int64 ``[G]``.
        found: bool ``[G]``, by a detection that is right.
        missed: bool ``[G]``, by all, even those that are wrong in class or place.
        confused: int64 ``[P, 2]``, true and predicted class of each pair in the confusion matrix; ``NONE``
            for nothing.
    """

    scores: Floats
    labels: Ints
    correct: Bools
    ignored: Bools
    errors: Ints
    fixed: Ints
    true_labels: Ints
    found: Bools
    missed: Bools
    confused: Ints


def judge(truth: Found, detections: Found, thresholds: Thresholds) -> Judged:
    """Match the detections of one image with its objects, and name the errors."""
    detections = best_detections(detections, thresholds.limit)
    objects, crowds = truth[~truth.crowd], truth[truth.crowd]
    along = overlaps_between(detections, objects)
    same = detections.labels[:, None] == objects.labels[None]
    matches = _match(np.where(same, along, -1.0), thresholds.match)
    correct = matches != NONE
    in_crowd = (overlaps_between(detections, crowds) >= _least(thresholds.match)) & (
        detections.labels[:, None] == crowds.labels[None]
    )
    ignored = ~correct & in_crowd.any(1)
    found = np.zeros(len(objects.labels), dtype=np.bool_)
    found[matches[correct]] = True
    errors, targets = _errors(along, same, correct, found, thresholds)
    fixed, usable = _fixes(targets, objects.labels, found)
    return Judged(
        detections.scores,
        detections.labels,
        correct,
        ignored,
        errors,
        fixed,
        objects.labels,
        found,
        ~found & ~usable,
        _confused(detections[~ignored], objects.labels, along[~ignored], same[~ignored], thresholds),
    )


def best_detections(detections: Found, limit: int) -> Found:
    """The detections that count, in the order of their scores."""
    order = np.argsort(-detections.scores, kind="stable")
    if len(order) > limit:
        order = order[ranks_within(detections.labels[order]) < limit]
    return detections[order]


def ranks_within(labels: Ints) -> Ints:
    """The place of each detection among those of its class, int64 ``[D]``."""
    order = np.argsort(labels, kind="stable")
    grouped = labels[order]
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = np.arange(len(labels)) - np.searchsorted(grouped, grouped, side="left")
    return ranks


def overlaps_between(detections: Found, objects: Found) -> Floats:
    """IoU, float64 ``[D, G]``; for a crowd, the part of the detection that is in it."""
    if not len(detections.labels) or not len(objects.labels):
        return np.zeros((len(detections.labels), len(objects.labels)))
    if detections.codes is not None and objects.codes is not None:
        return primitives.mask_iou(detections.codes, objects.codes, objects.crowd)
    return primitives.bbox_iou(detections.boxes, objects.boxes, objects.crowd)


def overlaps_within(detections: Found, objects: Found) -> Floats:
    """As ``overlaps_between``, but 0 between classes."""
    overlaps = np.zeros((len(detections.labels), len(objects.labels)))
    possible = np.flatnonzero(np.isin(detections.labels, objects.labels))
    if len(possible):
        overlaps[possible] = overlaps_between(detections[possible], objects)
        overlaps[detections.labels[:, None] != objects.labels[None]] = 0
    return overlaps


def _least(threshold: float) -> float:
    """As pycocotools has it, so that an IoU of 1 can be asked for."""
    return min(threshold, 1 - 1e-10)


def _match(overlaps: Floats, threshold: float) -> Ints:
    """The object of each detection, int64 ``[D]``, ``NONE`` where there is none; of objects that overlap
    equally the last, as in pycocotools.
    """
    rows, columns = np.nonzero(overlaps >= _least(threshold))
    options: dict[int, list[tuple[float, int]]] = {}
    values = overlaps[rows, columns].tolist()
    for row, value, column in zip(rows.tolist(), values, columns.tolist(), strict=True):
        options.setdefault(row, []).append((value, column))
    matches = np.full(len(overlaps), NONE)
    taken: set[int] = set()
    for row, objects in options.items():
        free = [option for option in objects if option[1] not in taken]
        if free:
            _, matches[row] = max(free)
            taken.add(int(matches[row]))
    return matches


def _errors(
    overlaps: Floats, same: Bools, correct: Bools, found: Bools, thresholds: Thresholds
) -> tuple[Ints, Ints]:
    """The error of each detection, and the object that it would have found, int64 ``[D]`` each."""
    targets = np.full(len(correct), NONE)
    if not len(found):
        return np.full(len(correct), BACKGROUND), targets
    own, others = overlaps * same, overlaps * ~same
    best_own, taken = own.max(1), (own * found).max(1)
    is_shifted = (best_own >= thresholds.background) & (best_own <= thresholds.match)
    conditions = [correct, is_shifted, others.max(1) >= thresholds.match, taken >= thresholds.match]
    conditions.append(overlaps.max(1) <= thresholds.background)
    kinds = [NONE, LOCALIZATION, CLASSIFICATION, DUPLICATE, BACKGROUND]
    errors = np.select(conditions, kinds, BOTH)
    for kind, candidates in ((LOCALIZATION, own), (CLASSIFICATION, others)):
        rows = errors == kind
        targets[rows] = candidates[rows].argmax(1)
    return errors, targets


def _fixes(targets: Ints, labels: Ints, found: Bools) -> tuple[Ints, Bools]:
    """The class that each detection has once its error is mended, and which objects would be found so. An
    object goes to the detection with the highest score.
    """
    fixed, usable = np.full(len(targets), NONE), np.zeros(len(found), dtype=np.bool_)
    wanted = np.flatnonzero((targets != NONE) & ~np.append(found, True)[targets])
    objects, first = np.unique(targets[wanted], return_index=True)
    usable[objects] = True
    fixed[wanted[first]] = labels[objects]
    return fixed, usable


def _confused(detections: Found, labels: Ints, overlaps: Floats, same: Bools, thresholds: Thresholds) -> Ints:
    """Pairs of true and predicted classes. Objects and detections of the same class are matched first, as for
    AP; then, of those that are left, the others.
    """
    counted = detections.scores >= thresholds.confusion
    overlaps, predicted, same = overlaps[counted], detections.labels[counted], same[counted]
    matches = _match(np.where(same, overlaps, -1.0), thresholds.match)
    taken = np.zeros(len(labels), dtype=np.bool_)
    taken[matches[matches != NONE]] = True
    rest = np.where(taken[None] | (matches != NONE)[:, None], -1.0, overlaps)
    matches = np.maximum(matches, _match(rest, thresholds.match))
    left = np.ones(len(labels), dtype=np.bool_)
    left[matches[matches != NONE]] = False
    true = np.append(labels, NONE)[matches]
    missed = np.stack([labels[left], np.full(left.sum(), NONE)], axis=1)
    return np.concatenate([np.stack([true, predicted], axis=1), missed])
