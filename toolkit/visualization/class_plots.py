"""Plots by class: confusion matrices, and plots with a line for each class."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UsageError
from toolkit.visualization.curves import GRAY, ticks
from toolkit.visualization.drawing import write_picture
from toolkit.visualization.labels import BLACK, WHITE, Color, Lettering, Picture
from toolkit.visualization.palettes import default_palette

Floats = NDArray[np.float64]

MOST_CLASSES = 30
"""Number of classes that a confusion matrix shows; the others are added up."""
MOST_LINES = 16
"""Number of lines that one plot shows: half of them the best, half the worst."""
FULL: Color = (24, 78, 140)
"""Color of a cell that contains all pixels of its row."""
NO_DATA: Color = (238, 238, 238)
"""Color of the row of a class that does not occur."""
MARGIN, NAME_WIDTH = 12, 150
"""Pixels around a plot, and for a name."""
PLOT_WIDTH, PLOT_HEIGHT, AXIS = 420, 320, 56
"""Size in pixels of the area with the lines, and of the space next to it for the numbers of an axis."""
_LETTERS = Lettering(10)


@dataclass(frozen=True)
class ClassLines:
    """Lines over a common axis, one for each class.

    Attributes:
        title: the title above the plot.
        x_label, y_label: what the axes show.
        x: the positions on the horizontal axis, in ascending order.
        lines: class -> one value per position; NaN where it is undefined.
        with_mean: whether the mean of the lines is drawn, too.
    """

    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    with_mean: bool = True


def draw_confusion(
    counts: NDArray[np.int64],
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> Picture:
    """Write a confusion matrix as a picture. Each cell shows its percentage of the row; rows and
    columns without a count are left out, except those of classes that occur in the other one.

    Args:
        counts: int64 ``[R, C]``, how often the item of a row was taken for the item of a column.
        rows, columns: their names.
        path: the picture to write; its suffix determines the format.
        title: the title above it.

    Returns:
        The picture.

    Raises:
        UsageError: when all counts are 0, or the number of names differs from the number of rows or columns.
        OutputError: when the file cannot be written.
    """
    if counts.shape != (len(rows), len(columns)) or not counts.any():
        raise UsageError(
            f"a confusion matrix needs counts and their names; got {list(counts.shape)} counts,"
            f" {int(counts.sum())} in sum, for {len(rows)} rows and {len(columns)} columns"
        )
    counts, rows, columns = _reduced(counts, rows, columns)
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(1, keepdims=True)
    cell = int(np.clip(900 // len(columns), 24, 48))
    left = MARGIN + max(_width(name) for name in rows) + 8
    top = 3 * MARGIN + _LETTERS.height + max(_width(name) for name in columns) + 8
    width = max(left + cell * len(columns), MARGIN + _LETTERS.width(title)) + MARGIN
    picture = _blank(top + cell * len(rows) + MARGIN, width)
    _LETTERS.write(picture, title, MARGIN, MARGIN + _LETTERS.height, BLACK)
    for j, name in enumerate(columns):
        _write_upward(picture, name, left + j * cell + cell // 2, top - 8)
    for i, name in enumerate(rows):
        text = _LETTERS.shortened(name, NAME_WIDTH)
        y = top + i * cell
        _LETTERS.write(
            picture, text, left - 8 - _LETTERS.width(text), y + (cell + _LETTERS.height) // 2, BLACK
        )
        for j, share in enumerate(shares[i]):
            _draw_cell(picture, float(share), left + j * cell, y, cell)
    write_picture(path, picture)
    return picture


def draw_class_lines(plots: Sequence[ClassLines], path: str | os.PathLike[str]) -> Picture:
    """Write one picture with the plots below each other, each with a list of its classes and their means, the
    best first. A line without a finite value is left out, and so is a plot without a line.

    Args:
        plots: from top to bottom.
        path: the picture to write; its suffix determines the format.

    Returns:
        The picture.

    Raises:
        UsageError: when there is nothing to draw.
        OutputError: when the file cannot be written.
    """
    panels = [_panel(plot, lines) for plot in plots if (lines := _defined(plot.lines))]
    if not panels:
        raise UsageError("no class has a finite value to draw")
    picture = np.concatenate(panels)
    write_picture(path, picture)
    return picture


def _reduced(
    counts: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str]
) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """The matrix without classes that never occur, and with the rarest ones added up if there are many."""
    seen = {name for name, total in zip(rows, counts.sum(1), strict=True) if total}
    seen |= {name for name, total in zip(columns, counts.sum(0), strict=True) if total}
    totals = dict(zip(rows, counts.sum(1).tolist(), strict=True))
    names = sorted(seen, key=lambda name: -totals.get(name, 0))
    kept = set(names if len(names) <= MOST_CLASSES + 1 else names[:MOST_CLASSES])
    others = f"{len(names) - len(kept)} other classes"
    for axis, labels in ((0, rows), (1, columns)):
        groups = [np.take(counts, [i], axis) for i, name in enumerate(labels) if name in kept]
        if rest := [i for i, name in enumerate(labels) if name in seen - kept]:
            groups.append(np.take(counts, rest, axis).sum(axis, keepdims=True))
        counts = np.concatenate(groups, axis)

    def shown(labels: Sequence[str]) -> list[str]:
        named = [name for name in labels if name in kept]
        return [*named, others] if any(name in seen - kept for name in labels) else named

    return counts, shown(rows), shown(columns)


def _draw_cell(picture: Picture, share: float, x: int, y: int, cell: int) -> None:
    """One cell, with its percentage unless that is rounded to 0; gray in a row without counts."""
    color = NO_DATA
    if not math.isnan(share):
        color = tuple(round(255 + (full - 255) * share) for full in FULL)  # type: ignore[assignment]
    cv2.rectangle(picture, (x, y), (x + cell - 1, y + cell - 1), color, cv2.FILLED)
    cv2.rectangle(picture, (x, y), (x + cell, y + cell), GRAY, 1)
    if not math.isnan(share) and (percent := round(100 * share)):
        text, letters = str(percent), Lettering(9)
        place = x + (cell - letters.width(text)) // 2, y + (cell + letters.height) // 2
        letters.write(picture, text, *place, WHITE if share > 0.5 else BLACK)


def _panel(plot: ClassLines, lines: Mapping[str, Floats]) -> Picture:
    height = PLOT_HEIGHT + 3 * MARGIN + 4 * _LETTERS.height + 20
    picture = _blank(height, AXIS + PLOT_WIDTH + 3 * MARGIN + NAME_WIDTH + 80)
    legend, title = _legend(lines, with_mean=plot.with_mean), plot.title
    if len(lines) > MOST_LINES:
        title += ": the best and the worst classes"
    title = _LETTERS.shortened(title, picture.shape[1] - 2 * MARGIN)
    _LETTERS.write(picture, title, MARGIN, MARGIN + _LETTERS.height, BLACK)
    top, x = 2 * MARGIN + 2 * _LETTERS.height, np.asarray(plot.x, np.float64)
    shown = np.concatenate([values for _, values, _, _ in legend])
    axes = _Axes(AXIS, top, *_span(x), *_span(shown, unit=True))
    axes.draw_grid(picture, plot.x_label, plot.y_label)
    _LETTERS.write(picture, "mean", AXIS + PLOT_WIDTH + MARGIN + 30 + NAME_WIDTH, top - 8, BLACK)
    for place, (name, values, color, weight) in enumerate(legend):
        for points in _pieces(axes, x, values):
            cv2.polylines(picture, [points], False, color, weight, cv2.LINE_AA)
        left, y = AXIS + PLOT_WIDTH + MARGIN, top + 6 + place * 19
        cv2.line(picture, (left, y), (left + 16, y), color, weight + 1)
        _LETTERS.write(picture, _LETTERS.shortened(name, NAME_WIDTH), left + 24, y + 5, BLACK)
        _LETTERS.write(picture, f"{np.nanmean(values):.3f}", left + 30 + NAME_WIDTH, y + 5, BLACK)
    return picture


def _legend(lines: Mapping[str, Floats], *, with_mean: bool = True) -> list[tuple[str, Floats, Color, int]]:
    """Name, values, color and thickness of each line that is drawn: the classes by their means, then the mean
    of all classes if there are several and it is wanted."""
    order = sorted(lines, key=lambda name: -float(np.nanmean(lines[name])))
    half = MOST_LINES // 2
    chosen = order if len(order) <= MOST_LINES else order[:half] + order[-half:]
    colors = default_palette(len(chosen), first=1)
    legend = [(name, lines[name], color, 2) for name, color in zip(chosen, colors, strict=True)]
    if len(lines) > 1 and with_mean:
        stacked = np.stack(list(lines.values()))
        known = np.isfinite(stacked)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, stacked, 0).sum(0) / known.sum(0)
        legend.append((f"mean of {len(lines)} classes", mean, BLACK, 3))
    return legend


@dataclass(frozen=True)
class _Axes:
    """Where the area with the lines is in the picture, and what it shows."""

    left: int
    top: int
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: Floats | float) -> NDArray[np.int32]:
        return np.asarray(
            np.round(self.left + (value - self.x0) / (self.x1 - self.x0) * PLOT_WIDTH), np.int32
        )

    def y(self, value: Floats | float) -> NDArray[np.int32]:
        part = (value - self.y0) / (self.y1 - self.y0)
        return np.asarray(np.round(self.top + (1 - part) * PLOT_HEIGHT), np.int32)

    def draw_grid(self, picture: Picture, x_label: str, y_label: str) -> None:
        """Lines at round numbers, the numbers, and what the axes show."""
        bottom, right = self.top + PLOT_HEIGHT, self.left + PLOT_WIDTH
        for value in ticks(self.y0, self.y1):
            y, text = int(self.y(value)), f"{value:.4g}"
            cv2.line(picture, (self.left, y), (right, y), GRAY, 1)
            _LETTERS.write(picture, text, self.left - 8 - _LETTERS.width(text), y + 5, BLACK)
        for value in ticks(self.x0, self.x1):
            x, text = int(self.x(value)), f"{value:.4g}"
            cv2.line(picture, (x, self.top), (x, bottom), GRAY, 1)
            _LETTERS.write(picture, text, x - _LETTERS.width(text) // 2, bottom + 18, BLACK)
        _LETTERS.write(picture, y_label, self.left, self.top - 8, BLACK)
        _LETTERS.write(picture, x_label, right - _LETTERS.width(x_label), bottom + 36, BLACK)


def _defined(lines: Mapping[str, Sequence[float]]) -> dict[str, Floats]:
    """The lines that have a finite value, with NaN for the other values."""
    arrays = {name: np.asarray(values, np.float64) for name, values in lines.items()}
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in arrays.items()}
    return {name: values for name, values in finite.items() if not np.isnan(values).all()}


def _span(values: Floats, *, unit: bool = False) -> tuple[float, float]:
    """The smallest and the largest value; with ``unit``, 0 and 1 if all are between these."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    if unit and low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _pieces(axes: _Axes, x: Floats, values: Floats) -> Iterator[NDArray[np.int32]]:
    """A line in pixels, int32 ``[N, 1, 2]``, in as many pieces as its undefined values make."""
    points = np.stack([axes.x(x), axes.y(np.where(np.isnan(values), axes.y0, values))], axis=1)
    gaps = np.flatnonzero(~np.isfinite(values))
    for piece in np.split(np.arange(len(x)), gaps):
        kept = piece[np.isfinite(values[piece])]
        if len(kept):
            yield points[kept].reshape(-1, 1, 2)


def _width(name: str) -> int:
    return _LETTERS.width(_LETTERS.shortened(name, NAME_WIDTH))


def _blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), 255, np.uint8)


def _write_upward(picture: Picture, text: str, x: int, bottom: int) -> None:
    """Write a text from bottom to top, centered around ``x``."""
    text = _LETTERS.shortened(text, NAME_WIDTH)
    strip = _blank(_LETTERS.ascent + _LETTERS.descent, _LETTERS.width(text) + 2)
    _LETTERS.write(strip, text, 0, _LETTERS.ascent, BLACK)
    turned = np.rot90(strip)
    left = max(0, x - turned.shape[1] // 2)
    area = picture[bottom - turned.shape[0] : bottom, left : left + turned.shape[1]]
    np.minimum(area, turned[:, : area.shape[1]], out=area)
