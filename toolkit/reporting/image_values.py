"""The figures that evaluators have of single images: how they are distributed, and by which of them images
are ranked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BINS = 20
"""Bars of a distribution; fewer where the values are few whole numbers."""
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

Values = dict[str, float | None]
"""One value by the id of the sample; None where it is undefined."""


def main_values(report: Mapping[str, Any]) -> tuple[str, Values]:
    """The figure by which a report ranks images, with its name: F1 for objects, of masks rather than of
    boxes, else the first one. Nothing, and no name, where a report has none.

    Args:
        report: of an evaluator, as ``Report.to_dict`` gives it.
    """
    figures: Mapping[str, Sequence[float | None]] = report.get("per_image", {})
    if not figures:
        return "", {}
    scores = [name for name in figures if name.rpartition("/")[2] == "F1"]
    name = next((name for name in scores if "segm" in name.split("/")), next(iter(scores or figures)))
    return name, dict(zip(report["images"], figures[name], strict=True))


def ranking_values(reports: Sequence[Mapping[str, Any]]) -> tuple[str, Values]:
    """The figure by which images are ranked, with its name: that of the first report that has one."""
    for report in reports:
        name, values = main_values(report)
        if name:
            return name, values
    return "", {}


def distributions(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How the figures of single images are distributed.

    Args:
        reports: of evaluators, as ``Report.to_dict`` gives them.

    Returns:
        For each figure ``{"report", "name", "main", "images", "undefined", "mean", "quantiles", "edges",
        "counts"}``: ``main`` says whether it is the one of ``main_values``, ``images`` and ``undefined`` how
        many images have it and have it not, ``quantiles`` are those of ``QUANTILES``, and ``counts`` say how
        many images lie between each two of ``edges``.
    """
    found = []
    for report in reports:
        main, _ = main_values(report)
        for name, values in report.get("per_image", {}).items():
            defined = np.array([value for value in values if value is not None], np.float64)
            entry = {"report": report["name"], "name": name, "main": name == main, "images": len(defined)}
            found.append(entry | {"undefined": len(values) - len(defined)} | _summary(defined))
    return found


def _summary(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    if not len(values):
        return {"mean": None, "quantiles": [None] * len(QUANTILES), "edges": [], "counts": []}
    edges = _edges(float(values.min()), float(values.max()), bool((values == np.round(values)).all()))
    counts, _ = np.histogram(values, edges)
    return {
        "mean": round(float(values.mean()), 4),
        "quantiles": [round(value, 4) for value in np.quantile(values, QUANTILES).tolist()],
        "edges": [round(edge, 6) for edge in edges],
        "counts": counts.tolist(),
    }


def _edges(low: float, high: float, whole: bool) -> list[float]:
    """Shares have bars from 0 to 1, and counts bars around whole numbers."""
    if low >= 0 and high <= 1:
        return [i / BINS for i in range(BINS + 1)]
    if whole:
        step = math.ceil((high - low + 1) / BINS)
        bars = math.ceil((high - low + 1) / step)
        return [low - 0.5 + i * step for i in range(bars + 1)]
    return [low + (high - low) * i / BINS for i in range(BINS)] + [high]
