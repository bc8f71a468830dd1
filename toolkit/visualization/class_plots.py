"""Plots by class: confusion matrices, and plots with a line for each class."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UsageError
from toolkit.visualization.drawing import write_picture
from toolkit.visualization.labels import BLACK, WHITE, Color, Lettering, Picture
from toolkit.visualization.palettes import default_palette
from toolkit.visualization.plots import GRAY, LETTERS, MARGIN, NAME_WIDTH, Line, Plot, blank, span_of

Floats = NDArray[np.float64]

MOST_CLASSES = 30
"""Number of classes that a confusion matrix shows; the others are added up."""
MOST_LINES = 16
"""Number of lines that one plot shows: half of them the best, half the worst."""
FULL: Color = (24, 78, 140)
"""Color of a cell that contains all pixels of its row."""
NO_DATA: Color = (238, 238, 238)
"""Color of the row of a class that does not occur."""


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
    top = 3 * MARGIN + LETTERS.height + max(_width(name) for name in columns) + 8
    width = max(left + cell * len(columns), MARGIN + LETTERS.width(title)) + MARGIN
    picture = blank(top + cell * len(rows) + MARGIN, width)
    LETTERS.write(picture, title, MARGIN, MARGIN + LETTERS.height, BLACK)
    for j, name in enumerate(columns):
        _write_upward(picture, name, left + j * cell + cell // 2, top - 8)
    for i, name in enumerate(rows):
        text = LETTERS.shortened(name, NAME_WIDTH)
        y = top + i * cell
        LETTERS.write(picture, text, left - 8 - LETTERS.width(text), y + (cell + LETTERS.height) // 2, BLACK)
        for j, share in enumerate(shares[i]):
            _draw_cell(picture, float(share), left + j * cell, y, cell)
    write_picture(path, picture)
    return picture


def class_plot(
    title: str,
    x_label: str,
    y_label: str,
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    with_mean: bool = True,
) -> Plot | None:
    """A plot with a line for each class, and a list of the classes and their means, the best first.

    Args:
        title: stands above the plot.
        x_label, y_label: what the axes show.
        x: the places on the horizontal axis, in ascending order.
        lines: class -> one value per place; NaN where it is undefined. A line without a finite value is left
            out.
        with_mean: whether the mean of the lines is drawn, too.

    Returns:
        None where no class has a finite value.
    """
    defined = _defined(lines)
    if not defined:
        return None
    if len(defined) > MOST_LINES:
        title += ": the best and the worst classes"
    places = np.asarray(x, np.float64)
    shown = [
        Line(name, places, values, color, weight, f"{np.nanmean(values):.3f}")
        for name, values, color, weight in _legend(defined, with_mean=with_mean)
    ]
    low, high = span_of(np.concatenate([line.y for line in shown]))
    y = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    return Plot(title, shown, span_of(places), y, x_label, y_label, values="mean")


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


def _defined(lines: Mapping[str, Sequence[float]]) -> dict[str, Floats]:
    """The lines that have a finite value, with NaN for the other values."""
    arrays = {name: np.asarray(values, np.float64) for name, values in lines.items()}
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in arrays.items()}
    return {name: values for name, values in finite.items() if not np.isnan(values).all()}


def _width(name: str) -> int:
    return LETTERS.width(LETTERS.shortened(name, NAME_WIDTH))


def _write_upward(picture: Picture, text: str, x: int, bottom: int) -> None:
    """Write a text from bottom to top, centered around ``x``."""
    text = LETTERS.shortened(text, NAME_WIDTH)
    strip = blank(LETTERS.ascent + LETTERS.descent, LETTERS.width(text) + 2)
    LETTERS.write(strip, text, 0, LETTERS.ascent, BLACK)
    turned = np.rot90(strip)
    left = max(0, x - turned.shape[1] // 2)
    area = picture[bottom - turned.shape[0] : bottom, left : left + turned.shape[1]]
    np.minimum(area, turned[:, : area.shape[1]], out=area)
