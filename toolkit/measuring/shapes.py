"""Figures of the shape of one mask, by the definitions of scikit-image's ``regionprops``.

They are computed in whole numbers where that is possible, so they are exact; ``tests/measuring`` compares
them with scikit-image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
"""uint8 ``[H, W]`` of 0 and 1."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
# One digit for each kind of neighbor: 1 for the pixel, 2 for those beside it, 10 for those across a corner.
_NEIGHBORS = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)
_LENGTHS = np.zeros(256)
_LENGTHS[[5, 7, 15, 17, 25, 27]] = 1
_LENGTHS[[21, 33]] = math.sqrt(2)
_LENGTHS[[13, 23]] = (1 + math.sqrt(2)) / 2


def perimeter(mask: Mask) -> float:
    """The length of the outline in pixels, estimated from the neighbors of each pixel on it (Benkrid,
    Crookes and Benkrid, *Design and FPGA implementation of a perimeter estimator*, 2000).
    """
    inner = cv2.erode(mask, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    border = mask - inner
    kinds = cv2.filter2D(border, -1, _NEIGHBORS, borderType=cv2.BORDER_CONSTANT)
    counts = np.bincount(kinds[border.astype(bool)], minlength=256)
    return float(counts @ _LENGTHS)


def parts_and_holes(mask: Mask) -> tuple[int, int]:
    """The number of parts, by 8 neighbors, and of holes, by 4."""
    parts = cv2.connectedComponents(mask, connectivity=8)[0] - 1
    outside = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    # the first two labels are the mask and what surrounds it
    return parts, cv2.connectedComponents(outside, connectivity=4)[0] - 2


def convex_area(mask: Mask) -> int:
    """The number of pixels whose middle lies in the convex hull of the middles of all pixel sides, or on its
    border.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    # In units of half a pixel, so that the middles of sides are whole numbers. Only the outermost pixels of
    # each row matter.
    x, y = np.concatenate([first, last]) * 2, np.tile(rows, 2) * 2
    corners = [np.stack([x + dx, y + dy], axis=1) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    hull = cv2.convexHull(np.concatenate(corners).astype(np.int32)).reshape(-1, 2).astype(np.int64)
    lines = np.arange(rows[0], rows[-1] + 1) * 2
    sides = [_crossings(start, end, lines) for start, end in _chains(hull)]
    low = np.minimum(sides[0][0], sides[1][0])
    high = np.maximum(sides[0][1], sides[1][1])
    return int((high // 2 + -low // 2 + 1).sum())


Points = NDArray[np.int64]
"""int64 ``[N, 2]`` as x, y."""


def _chains(hull: Points) -> list[tuple[Points, Points]]:
    """The two sides of a convex polygon from its top to its bottom: beginnings and ends of their edges."""
    after = np.roll(hull, -1, axis=0)
    down, up = hull[:, 1] < after[:, 1], hull[:, 1] > after[:, 1]
    found = []
    for start, end in ((hull[down], after[down]), (after[up], hull[up])):
        order = np.argsort(start[:, 1])
        found.append((start[order], end[order]))
    return found


def _crossings(start: Points, end: Points, lines: NDArray[np.int64]) -> tuple[Points, Points]:
    """Where a side of a convex polygon crosses horizontal lines: rounded up, and down, to whole numbers."""
    which = np.searchsorted(end[:, 1], lines)
    (x0, y0), (x1, y1) = start[which].T, end[which].T
    along = (lines - y0) * (x1 - x0)
    return x0 - -along // (y1 - y0), x0 + along // (y1 - y0)


@dataclass(frozen=True)
class Moments:
    """Area, center and second moments of a mask.

    Attributes:
        area: number of pixels.
        x, y: the center; the middle of the first pixel is at 0.
        xx, xy, yy: variances and covariance of the positions of its pixels, in square pixels.
    """

    area: int
    x: float
    y: float
    xx: float
    xy: float
    yy: float

    @classmethod
    def of(cls, mask: Mask) -> Moments:
        """The moments of a mask with at least one pixel."""
        found = cv2.moments(mask)
        names = ("m00", "m10", "m01", "m20", "m11", "m02")
        # Python's whole numbers have no limit, so differences of large squares are exact.
        area, sx, sy, sxx, sxy, syy = (int(found[name]) for name in names)
        square = area * area
        return cls(
            area,
            sx / area,
            sy / area,
            (area * sxx - sx * sx) / square,
            (area * sxy - sx * sy) / square,
            (area * syy - sy * sy) / square,
        )

    def axes(self, width: float = 1.0, height: float = 1.0) -> tuple[float, float]:
        """Length and width of the ellipse with the same second moments.

        Args:
            width, height: of a pixel.
        """
        xx, xy, yy = self.xx * width * width, self.xy * width * height, self.yy * height * height
        middle, off = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
        # both are positive but for rounding; their product is the determinant
        large = middle + off
        small = max(0.0, xx * yy - xy * xy) / large if large else 0.0
        return 4 * math.sqrt(large), 4 * math.sqrt(small)

    def angle(self) -> float:
        """The direction of the longer axis in degrees, counterclockwise from the x axis as one sees it, above
        -90 and up to 90; NaN if both axes are the same.
        """
        if self.xy == 0 and self.xx == self.yy:
            return math.nan
        # y points down
        degrees = math.degrees(0.5 * math.atan2(-2 * self.xy, self.xx - self.yy))
        return 90.0 if degrees <= -90 else degrees
