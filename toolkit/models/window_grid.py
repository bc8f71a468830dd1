"""The windows that cover an image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from toolkit.types import Size
from toolkit.types.pixel_runs import Rectangle


@dataclass(frozen=True)
class Window:
    """A part of an image that is predicted by itself.

    Attributes:
        place: its pixels.
        own: the pixels that are nearer to its center than to that of any other window; those of all windows
            are the image.
        image: height and width of the whole image, in pixels.
    """

    place: Rectangle
    own: Rectangle
    image: Size

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return self.place.height, self.place.width

    def seams(self) -> Rectangle:
        """Its edges at which the image goes on; edges of the image itself are moved out of reach."""
        top, left, bottom, right = self.place
        height, width = self.image
        return Rectangle(
            top if top > 0 else -_FAR,
            left if left > 0 else -_FAR,
            bottom if bottom < height else _FAR,
            right if right < width else _FAR,
        )


_FAR = 1 << 40


def starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of windows that cover ``length`` pixels evenly, each sharing at least a fraction
    ``overlap`` of itself with the next.
    """
    stride = max(1, int(window * (1 - overlap)))
    gaps = -(-(length - window) // stride)
    return [round(i * (length - window) / gaps) for i in range(gaps + 1)] if gaps else [0]


def grid(size: Size, window: int, overlap: float) -> list[list[Window]]:
    """The windows of an image: rows of them, from its top to its bottom.

    Args:
        size: height and width of the image, in pixels.
        window: side of the windows in pixels; at most the image's side is used.
        overlap: the minimum fraction of a window that the next one overlaps.
    """
    rows, columns = _spans(size[0], window, overlap), _spans(size[1], window, overlap)
    return [
        [
            Window(
                Rectangle(row[0], column[0], row[1], column[1]),
                Rectangle(row[2], column[2], row[3], column[3]),
                size,
            )
            for column in columns
        ]
        for row in rows
    ]


def _spans(length: int, window: int, overlap: float) -> list[tuple[int, int, int, int]]:
    """Start and stop of each window along an axis, and of what is its own."""
    window = min(window, length)
    first = starts(length, window, overlap)
    bounds = [
        0,
        *((here + window + there) // 2 for here, there in pairwise(first)),
        length,
    ]
    return [(start, start + window, bounds[i], bounds[i + 1]) for i, start in enumerate(first)]
