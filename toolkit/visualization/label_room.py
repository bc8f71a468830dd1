"""Where labels still fit in a crowded picture, from integral images (Crow, 1984) of what labels cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_AROUND = 300_000
"""Size of the area around an object, in pixels, up to which it pays to look for room first."""


@dataclass(frozen=True)
class Room:
    """Where patches fit around a box, at any pixel rather than only at the corners that are tried: a patch
    that fits nowhere does not fit at those corners either. In a crowd, this saves most of the tries.

    Attributes:
        box: the box of the object, inside the picture.
        origin: x and y of the upper left corner of the part of the picture that was examined.
        sums: int32 ``[h + 1, w + 1]``, its integral image of the pixels that labels cover; None if the
            part is so large that trying is faster.
    """

    box: tuple[int, int, int, int]
    origin: tuple[int, int]
    sums: NDArray[np.int32]

    def has_place_for(self, width: int, height: int, reach: int) -> bool:
        """Whether a patch fits at the box, or at most ``reach`` pixels above or below it."""
        if self.sums.size > MOST_AROUND:
            return True
        (x0, y0, x1, y1), (left, top) = self.box, self.origin
        first_row, last_row = max(0, y0 - reach - height - top), y1 + reach - top
        first_column, last_column = max(0, x0 - 1 - width - left), x1 + 1 - left
        part = self.sums[first_row : last_row + height + 1, first_column : last_column + width + 1]
        inside = (
            part[height:, width:] - part[:-height, width:] - part[height:, :-width] + part[:-height, :-width]
        )
        return bool((inside == 0).any())

    def are_free(self, spots: NDArray[np.int64], width: int, height: int) -> NDArray[np.bool_]:
        """Whether patches with their upper left corners at ``spots`` ``[N, 2]`` overlap no label, ``[N]``."""
        columns, rows = (spots - self.origin).T
        ends = self.sums[rows + height, columns + width] + self.sums[rows, columns]
        return np.asarray(ends == self.sums[rows, columns + width] + self.sums[rows + height, columns])


def room_around(
    box: NDArray[np.int64], covered: NDArray[np.uint8], patches: Sequence[tuple[int, int]], reach: int
) -> Room | None:
    """The room for labels; None if the part of the picture is so large that trying is faster.

    Args:
        box: the box of the object, inside the picture.
        covered: uint8 ``[H, W]``, 1 where there is a label already.
        patches: width and height of each variant of the label.
        reach: how far a label may be from its box, as a multiple of its height.
    """
    x0, y0, x1, y1 = box.tolist()
    beside = 1 + max(width for width, _ in patches)
    above = (1 + reach) * max(height for _, height in patches)
    left, top = max(0, x0 - beside), max(0, y0 - above)
    part = covered[top : y1 + above, left : x1 + beside]
    if not 0 < part.size <= 10 * MOST_AROUND:
        return None
    return Room((x0, y0, x1, y1), (left, top), np.asarray(cv2.integral(part)))
