"""Curves over the steps of a run, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.visualization.palettes import default_palette
from toolkit.visualization.plots import Line, Plot, span_of

Curve: TypeAlias = "tuple[Sequence[float], Sequence[float]]"
"""Ascending positions on the horizontal axis, and values; those that are not finite are left out."""

POINTS = 400
"""Points of a curve at most; more of them are averaged."""


@dataclass(frozen=True)
class Panel:
    """Curves that share one pair of axes.

    Attributes:
        title: the title above it.
        curves: name for the legend -> curve.
    """

    title: str
    curves: Mapping[str, Curve]


def curve_plots(panels: Sequence[Panel]) -> list[Plot]:
    """The panels as plots, all over the same steps; a curve without a finite value is left out, and so is a
    panel without a curve.
    """
    shown = [(panel.title, curves) for panel in panels if (curves := _finite_points(panel.curves))]
    if not shown:
        return []
    steps = span_of(np.concatenate([points[:, 0] for _, curves in shown for points in curves.values()]))
    return [_plot(title, curves, steps) for title, curves in shown]


def _plot(title: str, curves: Mapping[str, NDArray[np.float64]], steps: tuple[float, float]) -> Plot:
    colors = default_palette(len(curves), first=1)
    lines = [
        Line(name, points[:, 0], points[:, 1], color)
        for color, (name, points) in zip(colors, curves.items(), strict=True)
    ]
    low, high = span_of(np.concatenate([line.y for line in lines]))
    room = (high - low) / 20
    return Plot(title, lines, steps, (low - room, high + room))


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
