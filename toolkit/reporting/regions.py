"""Regions of an image in which a predicted label map disagrees with the true one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.reporting.cases import Case
from toolkit.types import BACKGROUND, VOID

MOST_REGIONS = 4
"""Regions that are looked at in an image, the largest."""
LEAST_PIXELS = 16

Bytes = NDArray[np.uint8]


def region_cases(
    image: int,
    truth: Bytes,
    prediction: Bytes,
    classes: tuple[str, ...],
    probability: NDArray[np.float32] | None = None,
) -> list[Case]:
    """The largest connected regions that are wrong, each with the classes that most of its pixels have. Their
    weight is the radius of the largest disk in them relative to the image, so that borders that are off by a
    few pixels weigh little.

    Args:
        image: its place in the dataset.
        truth, prediction: uint8 ``[H, W]``; void counts nowhere.
        classes: the names of the classes.
        probability: of the predicted classes, float32 ``[H, W]``; NaN where it is not known. A region has
            its mean, in which pixels weigh by their distance from the edge, where no model is sure.
    """
    wrong = ((truth != prediction) & (truth != VOID)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong, connectivity=4)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    cases = []
    for number in (np.argsort(-areas, kind="stable")[:MOST_REGIONS] + 1).tolist():
        x, y, width, height, area = (int(value) for value in stats[number])
        if area < LEAST_PIXELS:
            continue
        inside = (slice(y, y + height), slice(x, x + width))
        region = labels[inside] == number
        pairs = truth[inside][region].astype(np.int64) * 256 + prediction[inside][region]
        true, seen = divmod(int(np.bincount(pairs).argmax()), 256)
        padded = np.pad(region.astype(np.uint8), 1)
        depth = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)
        sure = None if probability is None else _weighted_mean(probability[inside], depth)
        weight = float(depth.max()) / float(np.sqrt(truth.size))
        box = (float(x), float(y), float(x + width), float(y + height))
        background = classes.index(BACKGROUND) if BACKGROUND in classes else VOID
        kind = "missed" if seen in (background, VOID) else "invented" if true == background else "confused"
        other = None if seen == VOID else seen
        cases.append(Case(kind, image, box, true, other, weight=weight, probability=sure))
    return cases


def _weighted_mean(values: NDArray[np.float32], weights: NDArray[np.float32]) -> float | None:
    """None where nothing is known."""
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else None
