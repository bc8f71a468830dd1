"""Which detections of an image are right, and what is wrong with the others, at one IoU and for any score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from toolkit.types import Instances

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MATCH_IOU = 0.5
"""The IoU from which a detection has found an object."""
NEAR_IOU = 0.1
"""The IoU up to which a detection has nothing to do with an object."""
LIMIT = 100
"""Detections of an image that are looked at, those with the highest scores."""
NONE = -1


@dataclass(frozen=True)
class Matched:
    """The objects and detections of one image: ``G`` objects in the order of the truth, crowds included, and
    ``D`` detections in descending order of their scores.

    Attributes:
        order: int64 ``[D]``, the place of each detection in the prediction.
        scores, labels: float64 and int64 ``[D]``.
        true_labels: int64 ``[G]``.
        crowd: bool ``[G]``.
        overlaps: float64 ``[D, G]``, the IoU of masks, or of boxes where one side has no masks; for a crowd,
            the part of the detection that lies in it.
        match: int64 ``[D]``, the object that a detection has found, ``NONE`` where it is not right.
        ignored: bool ``[D]``, neither right nor wrong, as it lies in a crowd.
    """

    order: Ints
    scores: Floats
    labels: Ints
    true_labels: Ints
    crowd: NDArray[np.bool_]
    overlaps: Floats
    match: Ints
    ignored: NDArray[np.bool_]

    @property
    def same(self) -> NDArray[np.bool_]:
        """bool ``[D, G]``, whether detection and object are of one class."""
        return np.equal(self.labels[:, None], self.true_labels[None])


def match(truth: Instances, found: Instances) -> Matched:
    """Match the detections of an image with its objects as COCO does: in descending order of the scores, each
    with the object of its class that it overlaps most among those that are left.
    """
    scores = np.ones(len(found)) if found.scores is None else found.scores.numpy().astype(np.float64)
    order = np.argsort(-scores, kind="stable")[:LIMIT]
    labels, true_labels = found.labels.numpy()[order], truth.labels.numpy()
    crowd = (
        np.zeros(len(truth), dtype=np.bool_) if truth.is_crowd is None else np.asarray(truth.is_crowd.numpy())
    )
    overlaps = _overlaps(truth, found, order, crowd)
    matches = np.full(len(order), NONE)
    free = ~crowd
    for row in range(len(order)):
        options = np.where(free & (true_labels == labels[row]), overlaps[row], -1.0)
        if len(options) and options.max() >= MATCH_IOU:
            matches[row] = int(options.argmax())
            free[matches[row]] = False
    in_crowd = (overlaps >= MATCH_IOU) & crowd[None] & (labels[:, None] == true_labels[None])
    ignored = (matches == NONE) & in_crowd.any(axis=1)
    return Matched(order, scores[order], labels, true_labels, crowd, overlaps, matches, ignored)


def _overlaps(truth: Instances, found: Instances, order: Ints, crowd: NDArray[np.bool_]) -> Floats:
    if not len(truth) or not len(order):
        return np.zeros((len(order), len(truth)))
    flags = crowd.astype(np.uint8).tolist()
    if truth.masks is not None and found.masks is not None:
        codes = found.masks.to_coco()
        return np.asarray(coco_mask.iou([codes[i] for i in order], truth.masks.to_coco(), flags), np.float64)
    return np.asarray(coco_mask.iou(_xywh(found)[order], _xywh(truth), flags), np.float64)


def truth_overlaps(truth: Instances) -> Floats:
    """The IoU of the objects of an image with each other, float64 ``[G, G]``."""
    if not len(truth):
        return np.zeros((0, 0))
    sides = truth.masks.to_coco() if truth.masks is not None else _xywh(truth)
    return np.asarray(coco_mask.iou(sides, sides, [0] * len(truth)), np.float64)


def paired_overlaps(truth: Instances, found: Instances) -> Floats:
    """The IoU of each object with the answer in its place, float64 ``[N]``."""
    everything = np.arange(len(found))
    return np.asarray(_overlaps(truth, found, everything, np.zeros(len(truth), dtype=np.bool_)).diagonal())


def _xywh(instances: Instances) -> Floats:
    boxes = instances.boxes_xyxy.numpy().astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
