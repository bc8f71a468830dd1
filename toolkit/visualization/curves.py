"""Curves over the steps of a run, drawn in the style of the other pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UsageError
from toolkit.visualization.drawing import write_picture
from toolkit.visualization.labels import BLACK, Lettering, Picture
from toolkit.visualization.palettes import default_palette

Curve: TypeAlias = "tuple[Sequence[float], Sequence[float]]"
"""Ascending positions on the horizontal axis, and values; those that are not finite are left out."""

WIDTH, HEIGHT = 760, 260
"""Size of a panel in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 34, 30
"""Pixels around the axes of a panel."""
POINTS = 400
"""Largest number of points of a curve; if there are more, they are averaged."""
GRAY = (225, 225, 225)
_LETTERS = Lettering(10)


@dataclass(frozen=True)
class Panel:
    """Curves that share one pair of axes.

    Attributes:
        title: the title above it.
        curves: name for the legend -> curve.
    """

    title: str
    curves: Mapping[str, Curve]


def draw_curves(panels: Sequence[Panel], path: str | os.PathLike[str]) -> Picture:
    """Write one picture with the panels below each other, all over the same steps; a curve without a finite
    value is left out, and so is a panel without a curve.

    Args:
        panels: from top to bottom.
        path: the picture to write; its suffix determines the format.

    Returns:
        The picture.

    Raises:
        UsageError: when there is nothing to draw.
        OutputError: when the file cannot be written.
    """
    shown = [(panel.title, curves) for panel in panels if (curves := _finite_points(panel.curves))]
    if not shown:
        raise UsageError("there are no finite values to draw a curve from")
    every = np.concatenate([points[:, 0] for _, curves in shown for points in curves.values()])
    span = (float(every.min()), float(every.max()))
    picture = np.concatenate([_panel(title, curves, span) for title, curves in shown])
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


def _finite_points(curves: Mapping[str, Curve]) -> dict[str, NDArray[np.float64]]:
    """Points ``[N, 2]`` of the curves that have any."""
    found = {}
    for name, (places, values) in curves.items():
        points = np.stack([np.asarray(places, np.float64), np.asarray(values, np.float64)], axis=1)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points):
            found[name] = _thinned(points)
    return found


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(points) <= POINTS:
        return points
    return np.stack([part.mean(axis=0) for part in np.array_split(points, POINTS)])


@dataclass(frozen=True)
class _Axes:
    """The range that a panel shows, and where its points are in the picture."""

    left: float
    right: float
    low: float
    high: float

    @classmethod
    def around(cls, values: NDArray[np.float64], span: tuple[float, float]) -> _Axes:
        (left, right), low, high = span, float(values.min()), float(values.max())
        if high == low:
            low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
        if right == left:
            left, right = left - 0.5, right + 0.5
        margin = (high - low) / 20
        return cls(left, right, low - margin, high + margin)

    def x(self, value: NDArray[np.float64] | float) -> NDArray[np.int32]:
        part = (np.asarray(value) - self.left) / (self.right - self.left)
        return np.asarray(np.round(LEFT + part * (WIDTH - LEFT - RIGHT)), np.int32)

    def y(self, value: NDArray[np.float64] | float) -> NDArray[np.int32]:
        part = (np.asarray(value) - self.low) / (self.high - self.low)
        return np.asarray(np.round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)), np.int32)


def _panel(title: str, curves: Mapping[str, NDArray[np.float64]], span: tuple[float, float]) -> Picture:
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    axes = _Axes.around(np.concatenate([points[:, 1] for points in curves.values()]), span)
    _draw_grid(picture, axes)
    _LETTERS.write(picture, title, LEFT, TOP - 12, BLACK)
    x = LEFT + _LETTERS.width(title) + 24
    for color, (name, points) in zip(default_palette(len(curves), first=1), curves.items(), strict=True):
        line = np.stack([axes.x(points[:, 0]), axes.y(points[:, 1])], axis=1)
        if len(line) > 1:
            cv2.polylines(picture, [line.reshape(-1, 1, 2)], False, color, 2, cv2.LINE_AA)
        else:
            cv2.circle(picture, (int(line[0, 0]), int(line[0, 1])), 3, color, cv2.FILLED, cv2.LINE_AA)
        cv2.line(picture, (x, TOP - 16), (x + 18, TOP - 16), color, 3)
        _LETTERS.write(picture, name, x + 24, TOP - 12, BLACK)
        x += 24 + _LETTERS.width(name) + 20
    return picture


def _draw_grid(picture: Picture, axes: _Axes) -> None:
    """Lines at round numbers, and the numbers."""
    for value in ticks(axes.low, axes.high):
        y, text = int(axes.y(value)), f"{value:.4g}"
        cv2.line(picture, (LEFT, y), (WIDTH - RIGHT, y), GRAY, 1)
        _LETTERS.write(picture, text, LEFT - 8 - _LETTERS.width(text), y + 5, BLACK)
    for value in ticks(axes.left, axes.right):
        x, text = int(axes.x(value)), f"{value:.6g}"
        cv2.line(picture, (x, TOP), (x, HEIGHT - BOTTOM), GRAY, 1)
        _LETTERS.write(picture, text, x - _LETTERS.width(text) // 2, HEIGHT - 10, BLACK)
