"""Boundary F: how well the outlines of classes in a label map agree with the true ones.

After Csurka et al., "What is a good evaluation measure for semantic segmentation?" (BMVC 2013): precision is
the share of the predicted outline that is within a distance of the true one, recall the share of the true one
that is within that distance of the predicted one, and F1 their harmonic mean, for each class in each image.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.uint8]
Bools = NDArray[np.bool_]

TOLERANCE = 0.0075
"""The distance within which outlines agree, relative to the image's diagonal."""


def boundary_f(
    truth: Labels,
    prediction: Labels,
    classes: int,
    *,
    unknown: Bools | None = None,
    tolerance: float = TOLERANCE,
) -> Floats:
    """F of each class in one image.

    Args:
        truth, prediction: uint8 ``[H, W]``, class indexes, and other values.
        classes: ``C``, the number of classes.
        unknown: bool ``[H, W]``, pixels whose class is unknown: neither they nor pixels next to them are part
            of an outline. The border of the image is not an outline either.
        tolerance: relative to the image's diagonal.

    Returns:
        float64 ``[C]``: NaN if neither has an outline of a class, 0 if only one of them has.
    """
    distance = tolerance * math.hypot(*truth.shape)
    known = np.ones(truth.shape, dtype=np.bool_) if unknown is None else ~unknown
    outlines = [outline(labels, known) for labels in (truth, prediction)]
    values = np.full(classes, np.nan)
    for label in range(classes):
        true, found = (
            line & (labels == label) for line, labels in zip(outlines, (truth, prediction), strict=True)
        )
        if true.any() or found.any():
            values[label] = _f(*_cropped(true, found), distance) if true.any() and found.any() else 0.0
    return values


def outline(labels: Labels, known: Bools) -> Bools:
    """The pixels with a neighbor of another class above, below, left or right, if both are known."""
    line = np.zeros(labels.shape, dtype=np.bool_)
    beside = (labels[:, 1:] != labels[:, :-1]) & known[:, 1:] & known[:, :-1]
    line[:, 1:] |= beside
    line[:, :-1] |= beside
    below = (labels[1:] != labels[:-1]) & known[1:] & known[:-1]
    line[1:] |= below
    line[:-1] |= below
    return line


def _cropped(true: Bools, found: Bools) -> tuple[Bools, Bools]:
    """Crop both to their common box, which does not change the distances between them."""
    x, y, width, height = cv2.boundingRect((true | found).astype(np.uint8))
    area = np.s_[y : y + height, x : x + width]
    return true[area], found[area]


def _f(true: Bools, found: Bools, distance: float) -> float:
    precision, recall = _share_near(found, true, distance), _share_near(true, found, distance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share_near(line: Bools, other: Bools, distance: float) -> float:
    """The fraction of an outline that is within a distance of another."""
    away = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # The distances are float32.
    return float((away[line] <= distance * (1 + 1e-6)).mean())
