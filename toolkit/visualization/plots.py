"""Plots of lines over a pair of axes, one below the other, drawn as the other pictures are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UsageError
from toolkit.types.equality import ByValue
from toolkit.visualization.drawing import write_picture
from toolkit.visualization.labels import BLACK, Color, Lettering, Picture

Floats = NDArray[np.float64]
Span = tuple[float, float]
"""The smallest and the largest value that an axis shows; the first is below the second."""

GRAY = (225, 225, 225)
MARGIN, NAME_WIDTH, VALUE_WIDTH = 12, 150, 80
"""Pixels around a plot, for a name, and for a value beside it."""
LETTERS = Lettering(10)


@dataclass(frozen=True)
class Layout:
    """Sizes of a plot, in pixels.

    Attributes:
        width, height: of the area with the lines.
        left, right, top, bottom: of what is around it.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole."""
        return self.top + self.height + self.bottom, self.left + self.width + self.right


WIDE = Layout(660, 196, left=80, right=20, top=34, bottom=30)
"""Of a plot whose lines are named beside its title."""

LISTED = Layout(
    *(420, 320),
    left=56,
    right=3 * MARGIN + NAME_WIDTH + VALUE_WIDTH,
    top=2 * MARGIN + 2 * LETTERS.height,
    bottom=MARGIN + 2 * LETTERS.height + 20,
)
"""Of a plot with a list of its lines and their values at its side."""


@dataclass(frozen=True, eq=False)
class Line(ByValue):
    """A line in a plot.

    Attributes:
        name: for the legend.
        x, y: its points, rising in ``x``; where ``y`` is NaN, the line has a gap.
        color: of the line.
        weight: its thickness, in pixels.
        value: stands beside its name in a list.
    """

    name: str
    x: Floats
    y: Floats
    color: Color
    weight: int = 2
    value: str = ""


@dataclass(frozen=True)
class Plot:
    """Lines over one pair of axes.

    Attributes:
        title: stands above it.
        lines: one or more, in the order of the legend.
        x, y: what the axes show.
        x_label, y_label: what it is.
        values: what the values in the list of lines are; without it, there is no list, and the names stand
            beside the title.
    """

    title: str
    lines: Sequence[Line]
    x: Span
    y: Span
    x_label: str = ""
    y_label: str = ""
    values: str = ""


def draw_plots(plots: Sequence[Plot], path: str | os.PathLike[str]) -> Picture:
    """Write one picture with the plots below each other.

    Args:
        plots: from top to bottom, all of one layout.
        path: the picture to write; its suffix says in which format.

    Returns:
        The picture.

    Raises:
        UsageError: when there is no plot.
        OutputError: when the file cannot be written.
    """
    if not plots:
        raise UsageError("there is no finite value to draw a line of")
    picture = np.concatenate([_drawn(plot) for plot in plots])
    write_picture(path, picture)
    return picture


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about as many as ``count``: multiples of 1, 2 or 5 times a
    power of ten.
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.85 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def blank(height: int, width: int) -> Picture:
    """A white picture."""
    return np.full((height, width, 3), 255, np.uint8)


def span_of(values: Floats) -> Span:
    """The smallest and the largest finite value; around a single one, half of its size to either side, or a
    half where it is 0.
    """
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    if high > low:
        return low, high
    room = (abs(low) or 1) / 2
    return low - room, high + room


def _drawn(plot: Plot) -> Picture:
    layout = LISTED if plot.values else WIDE
    picture = blank(*layout.size)
    axes = _Axes(plot, layout)
    axes.draw_grid(picture)
    for line in plot.lines:
        axes.draw(picture, line)
    if plot.values:
        _list_lines(picture, plot, layout)
    else:
        _name_lines(picture, plot, layout)
    return picture


def _name_lines(picture: Picture, plot: Plot, layout: Layout) -> None:
    """The title, and the names of the lines beside it."""
    baseline = layout.top - 12
    LETTERS.write(picture, plot.title, layout.left, baseline, BLACK)
    x = layout.left + LETTERS.width(plot.title) + 24
    for line in plot.lines:
        cv2.line(picture, (x, baseline - 4), (x + 18, baseline - 4), line.color, 3)
        LETTERS.write(picture, line.name, x + 24, baseline, BLACK)
        x += 24 + LETTERS.width(line.name) + 20


def _list_lines(picture: Picture, plot: Plot, layout: Layout) -> None:
    """The title, and the names of the lines with their values at the side."""
    title = LETTERS.shortened(plot.title, picture.shape[1] - 2 * MARGIN)
    LETTERS.write(picture, title, MARGIN, MARGIN + LETTERS.height, BLACK)
    left = layout.left + layout.width + MARGIN
    LETTERS.write(picture, plot.values, left + 30 + NAME_WIDTH, layout.top - 8, BLACK)
    for place, line in enumerate(plot.lines):
        y = layout.top + 6 + place * 19
        cv2.line(picture, (left, y), (left + 16, y), line.color, line.weight + 1)
        LETTERS.write(picture, LETTERS.shortened(line.name, NAME_WIDTH), left + 24, y + 5, BLACK)
        LETTERS.write(picture, line.value, left + 30 + NAME_WIDTH, y + 5, BLACK)


class _Axes:
    """Where each point of a plot lies in its picture."""

    def __init__(self, plot: Plot, layout: Layout) -> None:
        self.plot, self.layout = plot, layout

    def x(self, value: Floats | float) -> NDArray[np.int32]:
        """The column of a value."""
        part = (value - self.plot.x[0]) / (self.plot.x[1] - self.plot.x[0])
        return np.asarray(np.round(self.layout.left + part * self.layout.width), np.int32)

    def y(self, value: Floats | float) -> NDArray[np.int32]:
        """The row of a value."""
        part = (value - self.plot.y[0]) / (self.plot.y[1] - self.plot.y[0])
        return np.asarray(np.round(self.layout.top + (1 - part) * self.layout.height), np.int32)

    def draw(self, picture: Picture, line: Line) -> None:
        """Draw a line in its pieces; a point that is alone is a dot."""
        for points in self._pieces(line):
            if len(points) > 1:
                cv2.polylines(picture, [points], False, line.color, line.weight, cv2.LINE_AA)
            else:
                x, y = points[0, 0].tolist()
                cv2.circle(picture, (x, y), 3, line.color, cv2.FILLED, cv2.LINE_AA)

    def _pieces(self, line: Line) -> Iterator[NDArray[np.int32]]:
        """A line in pixels, int32 ``[N, 1, 2]``, in as many pieces as its gaps make."""
        known = np.isfinite(line.y)
        points = np.stack([self.x(line.x), self.y(np.where(known, line.y, self.plot.y[0]))], axis=1)
        for piece in np.split(np.arange(len(known)), np.flatnonzero(~known)):
            kept = piece[known[piece]]
            if len(kept):
                yield points[kept].reshape(-1, 1, 2)

    def draw_grid(self, picture: Picture) -> None:
        """Lines at round numbers, the numbers, and what the axes show."""
        left, top = self.layout.left, self.layout.top
        right, bottom = left + self.layout.width, top + self.layout.height
        for value in ticks(*self.plot.y):
            y, text = int(self.y(value)), f"{value:.4g}"
            cv2.line(picture, (left, y), (right, y), GRAY, 1)
            LETTERS.write(picture, text, left - 8 - LETTERS.width(text), y + 5, BLACK)
        for value in ticks(*self.plot.x):
            x, text = int(self.x(value)), f"{value:.6g}"
            cv2.line(picture, (x, top), (x, bottom), GRAY, 1)
            LETTERS.write(picture, text, x - LETTERS.width(text) // 2, bottom + 18, BLACK)
        label = self.plot.x_label
        LETTERS.write(picture, self.plot.y_label, left, top - 8, BLACK)
        LETTERS.write(picture, label, right - LETTERS.width(label), bottom + 36, BLACK)
