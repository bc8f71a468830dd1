"""Precision, recall and F1 of detections over the score from which they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.reporting.matching import MATCH_IOU, NONE, Floats, Matched

STEPS = 100
"""Thresholds on the axis are 0, 1 / STEPS … 1."""
ROUNDING = 1e-6
"""Scores are float32, so that 0.3 may lie a little below."""
ALL = "all classes"


def score_curves(images: Sequence[Matched], classes: Sequence[str]) -> dict[str, Any] | None:
    """The curves of all classes together and of each class, as JSON can hold them.

    Args:
        images: matched at ``MATCH_IOU``.
        classes: the names of the classes.

    Returns:
        None where there is neither an object nor a detection, or a score is outside 0 … 1. Else
        ``{"iou": …, "thresholds": […], "lines": [{"name", "class", "objects", "precision", "recall", "f1",
        "best"}]}``, with None where a value is undefined; ``class`` is an index, None for all together, and
        ``best`` the last place of the highest F1.
    """
    scores = _joined([image.scores[~image.ignored] for image in images])
    labels = _joined([image.labels[~image.ignored] for image in images])
    correct = _joined([image.match[~image.ignored] != NONE for image in images])
    true = _joined([image.true_labels[~image.crowd] for image in images])
    if not len(scores) + len(true) or (len(scores) and (scores.min() < 0 or scores.max() > 1)):
        return None
    thresholds = np.arange(STEPS + 1) / STEPS
    lines = [{"name": ALL, "class": None} | _line(scores, correct, len(true), thresholds)]
    for index, name in enumerate(classes):
        mine, objects = labels == index, int((true == index).sum())
        if mine.any() or objects:
            lines.append(
                {"name": name, "class": index} | _line(scores[mine], correct[mine], objects, thresholds)
            )
    return {"iou": MATCH_IOU, "thresholds": thresholds.tolist(), "lines": lines}


def _joined(parts: Sequence[Any]) -> Any:
    return np.concatenate([np.zeros(0), *parts])


def _line(scores: Floats, correct: Floats, objects: int, thresholds: Floats) -> dict[str, Any]:
    order = np.argsort(scores, kind="stable")
    # those at or above a threshold are the last ones in ascending order
    below = np.searchsorted(scores[order], thresholds - ROUNDING)
    kept = len(scores) - below
    totals = np.concatenate([[0], np.cumsum(correct[order])])
    right = totals[-1] - totals[below]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / kept, right / objects if objects else np.full(len(kept), np.nan)
        f1 = 2 * right / (kept + objects) if objects else np.full(len(kept), np.nan)
    # of several, the highest
    best = len(f1) - 1 - int(np.nanargmax(f1[::-1])) if objects and len(scores) else None
    return {
        "objects": objects,
        "precision": _rounded(precision),
        "recall": _rounded(recall),
        "f1": _rounded(f1),
        "best": best,
    }


def _rounded(values: Floats) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]
