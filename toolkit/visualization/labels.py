"""Lays out object names in a picture so that each is readable: whole, inside the picture, and not hidden by
others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.runtime.text import printable
from toolkit.visualization.label_room import Room, room_around

Picture: TypeAlias = NDArray[np.uint8]
"""uint8 ``[H, W, 3]``, RGB."""

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue."""

Box: TypeAlias = tuple[int, int, int, int]
"""``x0, y0, x1, y1`` in pixels, ``x1`` and ``y1`` exclusive."""

WHITE, BLACK = (255, 255, 255), (0, 0, 0)

LEAST_LETTERS = 8
"""The minimum letter height when shrinking, in pixels: smaller letters are not readable."""

LEAST_BEGINNING = 3
"""Minimum number of letters of a shortened name with its score; below that, the score is dropped first."""

REACH = 2
"""Maximum distance of a label from its object, in lines; less than a line if possible."""

FEW = 30
"""With no more labels than this, trying all corners is faster than looking for room first."""

ELLIPSIS = "..."  # in ASCII: the fonts of OpenCV 4 have no "…"

_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Lettering:
    """Text with a given height in pixels."""

    height: int

    @property
    def weight(self) -> int:
        """Thickness of the strokes, in pixels."""
        return max(1, self.height // 12)

    @property
    def scale(self) -> float:
        """OpenCV's scale factor for its font."""
        return float(cv2.getFontScaleFromHeight(_FONT, self.height, self.weight))

    @property
    def margin(self) -> int:
        """Pixels left free to the left and right of a text on a patch."""
        return max(2, self.height // 4)

    @property
    def ascent(self) -> int:
        """Pixels of a patch above the baseline."""
        return self.height + max(1, self.height // 5)

    @property
    def descent(self) -> int:
        """Pixels of a patch below the baseline, enough for the descender of a g."""
        return max(self.margin, _text_size("g", self)[1] + 1)

    def width(self, text: str) -> int:
        """Width of a text in pixels, as ``write`` draws it."""
        return _text_size(printable(text), self)[0]

    def patch(self, text: str) -> tuple[int, int]:
        """Width and height of the background patch of a text."""
        return self.width(text) + 2 * self.margin, self.ascent + self.descent

    def write(self, picture: Picture, text: str, x: int, baseline: int, color: Color) -> None:
        """Draw a text in place, from ``x`` on. Characters that cannot be drawn, such as the bytes of a name
        that is not UTF-8, at which OpenCV would crash, are written as ``\\xe9``.
        """
        text = printable(text)
        cv2.putText(picture, text, (x, baseline), _FONT, self.scale, color, self.weight, cv2.LINE_AA)

    def shortened(self, text: str, room: int) -> str:
        """``text``, or as much of its beginning as fits into ``room`` pixels with an ellipsis after it; empty
        when not even one letter does.
        """
        if self.width(text) <= room:
            return text
        forms = [text[:n].rstrip() + ELLIPSIS for n in range(1, len(text))]
        fitting = bisect_right(forms, room, key=self.width)
        return forms[fitting - 1] if fitting else ""


@lru_cache(maxsize=4096)
def _text_size(text: str, lettering: Lettering) -> tuple[int, int]:
    """Width and depth below the baseline, in pixels; cached, because OpenCV 5 is slow at it and names
    recur."""
    (width, _), depth = cv2.getTextSize(text, _FONT, lettering.scale, lettering.weight)
    return int(width), int(depth)


@dataclass(frozen=True)
class Caption:
    """The text for an object: its name, its score (may be empty), and the position of the object."""

    name: str
    score: str
    box: Box

    @property
    def text(self) -> str:
        """Name and score in one string."""
        return f"{self.name} {self.score}".strip()


@dataclass(frozen=True)
class Label:
    """A text on a background patch; ``x, y`` is the patch's upper left corner."""

    text: str
    lettering: Lettering
    x: int
    y: int
    width: int
    height: int

    @property
    def box(self) -> Box:
        """The pixels that the patch covers."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    def draw(self, picture: Picture, color: Color) -> None:
        """Draw it in place, in black or white on a patch of the color."""
        x0, y0, x1, y1 = self.box
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), color, cv2.FILLED)
        baseline = self.y + self.lettering.ascent
        self.lettering.write(
            picture, self.text, self.x + self.lettering.margin, baseline, _readable_on(color)
        )


def fitting_letters(size: tuple[int, int]) -> int:
    """A suitable letter height for a picture of this height and width, in pixels."""
    return round(min(max(min(size) / 45, 9), 40))


def place_labels(
    captions: Sequence[Caption], size: tuple[int, int], letter_height: int
) -> list[Label | None]:
    """Lay out the labels of the objects in a picture.

    A label is inside the picture and overlaps no other. It is placed at its object's box, or a little away if
    others are in the way. If the whole text does not fit, its letters shrink to ``LEAST_LETTERS`` or half of
    ``letter_height``, whichever is larger; then the name is shortened at its end; then the score is dropped.

    Args:
        captions: the texts, the most important first.
        size: height and width of the picture, in pixels.
        letter_height: initial letter height, in pixels.

    Returns:
        A label for each caption, or None if no form of it fits.
    """
    taken = np.zeros((len(captions), 4), np.int64)
    covered = np.zeros(size if len(captions) > FEW else (0, 0), np.uint8)
    count = 0
    labels: list[Label | None] = []
    for caption in captions:
        label = _place(caption, size, letter_height, taken[:count], covered)
        labels.append(label)
        if label is not None:
            x0, y0, x1, y1 = taken[count] = label.box
            covered[y0:y1, x0:x1] = 1
            count += 1
    return labels


def _place(
    caption: Caption,
    size: tuple[int, int],
    letter_height: int,
    taken: NDArray[np.int64],
    covered: NDArray[np.uint8],
) -> Label | None:
    box = _inside(caption.box, size)
    forms = [(*form, *form[0].patch(form[1])) for form in _forms(caption, size[1], letter_height)]
    room: Room | None = None
    for lines in (1, REACH):
        for lettering, text, width, height in forms:
            if room is not None and not room.has_place_for(width, height, lines * height):
                continue
            corner = _corner(box, width, height, size, lines * height, taken, room)
            if corner is not None:
                return Label(text, lettering, *corner, width, height)
            if room is None and len(taken) > FEW:
                room = room_around(box, covered, [form[2:] for form in forms], REACH)
    return None


def _corner(
    box: NDArray[np.int64],
    width: int,
    height: int,
    size: tuple[int, int],
    reach: int,
    taken: NDArray[np.int64],
    room: Room | None,
) -> tuple[int, int] | None:
    """The allowed positions for the upper left corner of a patch: at its box, or at most ``reach`` pixels
    above or below it.
    """
    last = np.array([size[1] - width, size[0] - height])  # the last corner inside the picture
    if (last < 0).any():
        return None
    reachable = box + np.array([-1, -reach, 1, reach])
    near = taken[_overlaps(taken, reachable + np.array([-width, -height, width, height]))]
    corner = _first_free(_spots_at_box(box, width, height, last), width, height, last, near, room)
    if corner is None:
        spots = _spots_around(box, width, height, reachable, near)
        corner = _first_free(spots, width, height, last, near, room)
    return corner


def _inside(box: Box, size: tuple[int, int]) -> NDArray[np.int64]:
    """The part of a box inside the picture; for a box outside, an empty box at the border."""
    return np.clip(box, 0, (size[1], size[0]) * 2)


def _forms(caption: Caption, room: int, letter_height: int) -> Iterator[tuple[Lettering, str]]:
    """The ways to write a caption in ``room`` pixels, the best first."""
    least = min(letter_height, max(LEAST_LETTERS, letter_height // 2))
    if not caption.text:
        return
    for height in sorted({letter_height, (letter_height + least + 1) // 2, least}, reverse=True):
        yield Lettering(height), caption.text
    small = Lettering(least)
    room -= 2 * small.margin
    if caption.score and small.width(caption.text) > room:
        beginning = small.shortened(caption.name, room - small.width(f" {caption.score}"))
        if len(beginning) >= LEAST_BEGINNING + len(ELLIPSIS):
            yield small, f"{beginning} {caption.score}"
    shorter = small.shortened(caption.name, room)
    if shorter and shorter != caption.text:
        yield small, shorter


def _spots_at_box(
    box: NDArray[np.int64], width: int, height: int, last: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Corners for a label at its own box, the best first, int64 ``[N, 2]``: above, below, then inside; above
    and inside where the box is so large that the label hides little of it.
    """
    x0, y0, x1, y1 = box.tolist()
    top, bottom = min(y0, int(last[1])), max(0, y1 - height)
    above, below = [(x0, y0 - height), (x1 - width, y0 - height)], [(x0, y1), (x1 - width, y1)]
    inside = [(x0, top), (x1 - width, top), (x0, bottom), (x1 - width, bottom)]
    is_large = x1 - x0 >= width and y1 - y0 >= 3 * height
    return np.array([*above, *inside, *below] if is_large else [*above, *below, *inside])


def _spots_around(
    box: NDArray[np.int64], width: int, height: int, reachable: NDArray[np.int64], near: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Corners for a label that touches its box or other labels and has a pixel within reach, the nearest
    first, int64 ``[N, 2]``.
    """
    x0, y0, x1, y1 = box.tolist()
    own_columns = np.array([x0, x1 - width, x1, x0 - width])
    own_rows = np.array([y0 - height, y1, y0, y1 - height])
    columns = np.concatenate([own_columns, near[:, 0] - width, near[:, 2]])
    rows = np.concatenate([own_rows, near[:, 1] - height, near[:, 3]])
    spots = np.concatenate([_grid(own_columns, rows), _grid(columns, own_rows)])
    patches = np.concatenate([spots, spots + np.array([width, height])], axis=1)
    spots = spots[_overlaps(patches, reachable)]
    distances = np.abs(spots - np.array([x0, y0 - height])).sum(axis=1)
    return spots[np.argsort(distances, kind="stable")]


def _grid(columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([np.tile(columns, len(rows)), np.repeat(rows, len(columns))], axis=1)


def _first_free(
    spots: NDArray[np.int64],
    width: int,
    height: int,
    last: NDArray[np.int64],
    taken: NDArray[np.int64],
    room: Room | None,
) -> tuple[int, int] | None:
    """The first corner at which a patch is inside the picture and does not overlap any other; horizontally it
    is moved into the picture.
    """
    spots = spots[(spots[:, 1] >= 0) & (spots[:, 1] <= last[1])]
    spots[:, 0] = spots[:, 0].clip(0, last[0])
    if room is not None:
        free = np.flatnonzero(room.are_free(spots, width, height))
        return tuple(spots[free[0]].tolist()) if len(free) else None
    patches = np.concatenate([spots, spots + np.array([width, height])], axis=1)
    # Most often one of the first is free.
    for start, end in ((0, 16), (16, 256), (256, len(spots))):
        free = np.flatnonzero(~_overlaps(taken, patches[start:end, None]).any(axis=1))
        if len(free):
            x, y = spots[start + free[0]].tolist()
            return x, y
    return None


def _overlaps(boxes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which boxes (``x0, y0, x1, y1`` in the last dimension) share a pixel, bool, broadcast as by numpy."""
    x0, y0, x1, y1 = (boxes[..., i] for i in range(4))
    u0, v0, u1, v1 = (others[..., i] for i in range(4))
    return np.asarray((x0 < u1) & (u0 < x1) & (y0 < v1) & (v0 < y1))


def _readable_on(color: Color) -> Color:
    """Black or white, by the luma of the background (ITU-R BT.601)."""
    red, green, blue = color
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else WHITE
