"""A legend of the colors of a label map, in a corner of the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from toolkit.types import VOID
from toolkit.visualization.labels import (
    BLACK,
    ELLIPSIS,
    LEAST_BEGINNING,
    LEAST_LETTERS,
    WHITE,
    Color,
    Lettering,
    Picture,
    fitting_letters,
)
from toolkit.visualization.palettes import Palette, full_palette

MOST_OF_A_SIDE = 0.5
"""Largest fractions of the width and the height of a picture that a legend may take."""


_EXACT = 1 << 24
"""OpenCV counts in float32, which represents no larger whole numbers exactly; it is three times as fast as
torch.
"""


@dataclass(frozen=True)
class Entry:
    """A line of a legend: a patch of color (None for none) and a text."""

    text: str
    color: Color | None


def label_counts(label_map: Tensor) -> list[int]:
    """How many pixels of a label map (uint8 ``[H, W]``) have each of the 256 values."""
    total = np.zeros(256, np.int64)
    rows = max(1, _EXACT // label_map.shape[1])
    for top in range(0, len(label_map), rows):
        band = np.ascontiguousarray(label_map[top : top + rows].numpy())
        total += cv2.calcHist([band], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    counts: list[int] = total.tolist()
    return counts


def legend_entries(label_map: Tensor, classes: Sequence[str], palette: Palette) -> list[Entry]:
    """The classes that occur in a label map, the largest first.

    Args:
        label_map: uint8 ``[H, W]``; void has no entry.
        classes: their names; labels beyond them are shown as numbers.
        palette: one RGB color per class.
    """
    counts, colors = label_counts(label_map)[:VOID], full_palette(palette)
    order = sorted(range(VOID), key=lambda label: -counts[label])
    present = [label for label in order if counts[label]]
    return [
        Entry(
            classes[label] if label < len(classes) else str(label),
            (int(colors[label][0]), int(colors[label][1]), int(colors[label][2])),
        )
        for label in present
    ]


def draw_legend(picture: Picture, entries: Sequence[Entry], letter_height: int | None = None) -> bool:
    """Draw a legend in the lower left corner, in place. If there is no room for all entries, the last line
    counts the others; long names are shortened.

    Args:
        picture: uint8 ``[H, W, 3]``.
        entries: the most important first.
        letter_height: in pixels, if there is room for it; None fits it to the picture.

    Returns:
        Whether there was room for it. Nothing is drawn in a picture that is too small for readable names.
    """
    height, width = picture.shape[:2]
    wanted = letter_height or fitting_letters((height, width))
    lettering = Lettering(max(LEAST_LETTERS, wanted))
    if _rows_in(height, lettering) < len(entries):
        lettering = Lettering(max(LEAST_LETTERS, wanted * 2 // 3))
    rows = _rows_in(height, lettering)
    room = int(width * MOST_OF_A_SIDE) - _text_start(lettering) - lettering.margin
    lines = _lines(entries, rows, room, lettering)
    if not lines:
        return False
    pitch = _pitch(lettering)
    box_width = _text_start(lettering) + max(lettering.width(line.text) for line in lines) + lettering.margin
    top = height - len(lines) * pitch - 2 * (lettering.margin // 2)
    cv2.rectangle(picture, (0, top), (box_width - 1, height - 1), WHITE, cv2.FILLED)
    for number, line in enumerate(lines):
        _draw_line(picture, line, top + lettering.margin // 2 + number * pitch, lettering)
    return True


def _lines(entries: Sequence[Entry], rows: int, room: int, lettering: Lettering) -> list[Entry]:
    """The entries for which there is room, with shortened texts; none if too little would be left of them."""
    shown = list(entries if len(entries) <= rows else entries[: max(0, rows - 1)])
    lines = [Entry(lettering.shortened(entry.text, room), entry.color) for entry in shown]
    for line, entry in zip(lines, shown, strict=True):
        if line.text != entry.text and len(line.text) < LEAST_BEGINNING + len(ELLIPSIS):
            return []
    if lines and len(shown) < len(entries):
        more = len(entries) - len(shown)
        whole = f"and {more} more"
        lines.append(Entry(whole if lettering.width(whole) <= room else f"+{more}", None))
    return lines


def _draw_line(picture: Picture, line: Entry, top: int, lettering: Lettering) -> None:
    side = lettering.height
    if line.color is not None:
        corner = (lettering.margin, top + (_pitch(lettering) - side) // 2)
        opposite = (corner[0] + side - 1, corner[1] + side - 1)
        cv2.rectangle(picture, corner, opposite, line.color, cv2.FILLED)
        cv2.rectangle(picture, corner, opposite, BLACK, 1)
    lettering.write(picture, line.text, _text_start(lettering), top + lettering.ascent, BLACK)


def _pitch(lettering: Lettering) -> int:
    return lettering.ascent + lettering.descent


def _text_start(lettering: Lettering) -> int:
    return 2 * lettering.margin + lettering.height


def _rows_in(height: int, lettering: Lettering) -> int:
    return int(height * MOST_OF_A_SIDE) // _pitch(lettering)
