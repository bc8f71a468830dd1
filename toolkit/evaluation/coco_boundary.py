"""Boundary AP: masks compared along their boundaries, after Cheng et al., "Boundary IoU" (CVPR 2021).

The overlap of two masks is the smaller of their mask IoU and the IoU of their boundaries: the pixels of a
mask that lie within 2 % of the image's diagonal from its outline. Crowds have no outline of an object, so
their overlap is that of the masks alone. Everything else is as for masks.

No match is possible where the masks themselves overlap by less than the lowest threshold, so boundaries are
worked out only for the others, each within the box of its mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import hotcoco
import numpy as np
from hotcoco import mask
from numpy.typing import NDArray

from toolkit.evaluation.coco_accumulation import ImageMatches, match_image
from toolkit.evaluation.coco_matching import Found, best_detections, overlaps_within

DILATION = 0.02
"""Width of a boundary, relative to the diagonal of the image."""


@dataclass(frozen=True)
class Edge:
    """The boundary of a mask.

    Attributes:
        x, y: the corner of its box, in pixels.
        pixels: uint8 ``[w, h]`` of 0 and 1, the columns of the box one after the other.
        count: of ones.
    """

    x: int
    y: int
    pixels: NDArray[np.uint8]
    count: int

    def overlap(self, other: Edge) -> float:
        """Intersection over union; 0 of two empty ones."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + len(self.pixels), other.x + len(other.pixels))
        bottom = min(self.y + self.pixels.shape[1], other.y + other.pixels.shape[1])
        common = 0
        if right > left and bottom > top:
            mine, others = (
                each.pixels[left - each.x : right - each.x, top - each.y : bottom - each.y]
                for each in (self, other)
            )
            common = cv2.countNonZero(cv2.bitwise_and(mine, others))
        union = self.count + other.count - common
        return common / union if union else 0.0


def edge(code: dict[str, Any]) -> Edge:
    """The boundary of a mask in COCO run lengths: the pixels that erosion removes. The image border counts as
    an outline.
    """
    height, width = code["size"]
    steps = max(1, round(DILATION * math.hypot(height, width)))
    x, y, w, h = (int(value) for value in mask.to_bbox(code))
    if not w or not h:
        return Edge(0, 0, np.zeros((0, 0), dtype=np.uint8), 0)
    # hotcoco decodes many times as fast as pycocotools. Columns are rows here, as they are in memory; the
    # square that erodes is symmetric.
    inside = mask.decode(code).T[x : x + w, y : y + h]
    eroded = cv2.erode(
        inside, np.ones((3, 3), np.uint8), iterations=steps, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    pixels = np.asarray(cv2.subtract(inside, eroded), dtype=np.uint8)
    return Edge(x, y, pixels, cv2.countNonZero(pixels))


def boundary(code: dict[str, Any]) -> dict[str, Any]:
    """The boundary of a mask, both as COCO run lengths; see ``edge``."""
    found = edge(code)
    height, width = code["size"]
    whole: NDArray[np.uint8] = np.zeros((width, height), dtype=np.uint8)
    columns, rows = found.pixels.shape
    whole[found.x : found.x + columns, found.y : found.y + rows] = found.pixels
    return mask.encode(whole.T)


def match_boundaries(truth: Found, detections: Found, parameters: hotcoco.Params) -> ImageMatches:
    """Match the masks of one image along their boundaries.

    Args:
        truth, detections: with masks and areas.
        parameters: limits, thresholds and ranges of areas.
    """
    detections = best_detections(detections, parameters.max_dets[-1])
    least = min(*parameters.iou_thrs, 1 - 1e-10)
    along = overlaps_within(detections, truth)
    found, true = _edges(detections), _edges(truth)
    for row, column in np.argwhere((along >= least) & ~truth.crowd[None]).tolist():
        along[row, column] = min(along[row, column], found(row).overlap(true(column)))
    return match_image(truth, detections, along, parameters)


def _edges(masks: Found) -> Callable[[int], Edge]:
    """The boundary of each mask, worked out once and only if it is asked for."""
    codes = masks.codes or []
    return cache(lambda place: edge(codes[place]))
