"""Sentences about errors and thresholds."""

from __future__ import annotations

import math

import pytest

from toolkit.evaluation.coco_thresholds import BestThreshold
from toolkit.evaluation.coco_words import errors_in_words, share_in_words, thresholds_in_words


@pytest.mark.parametrize(
    ("share", "words"),
    [(1, "all"), (0.5, "half"), (0.52, "about half"), (0.3, "about a third"), (0.9, "nine tenths")],
)
def test_shares(share: float, words: str) -> None:
    assert share_in_words(share) == words


def test_errors() -> None:
    costs = {"localization": 0.2, "missed": 0.08, "both": 0.01, "false_positives": 0.3}
    assert errors_in_words("bbox", 0.6, costs, 0.5) == [
        "Boxes: AP50 is 0.600; half of the gap to 1 is due to localization (AP50 would be 0.800 without),"
        " a fifth to missed objects (0.680)."
    ]
    assert errors_in_words("segm", 0.5, {"missed": 0.01}, 0.75) == [
        "Masks: AP75 is 0.500; no kind of error stands out."
    ]
    assert errors_in_words("bbox", 0.999, costs, 0.5) == ["Boxes: AP50 is 0.999, next to perfect."]
    assert errors_in_words("bbox", math.nan, costs, 0.5) == []


def test_thresholds() -> None:
    unknown = BestThreshold(math.nan, 0, math.nan, 0)
    assert thresholds_in_words("bbox", ["a"], [unknown], [3]) == []
    best = [BestThreshold(0.4, 0.7, 0.8, 0.6)] * 12
    (line,) = thresholds_in_words("bbox", [f"c{i}" for i in range(12)], best, list(range(12)))
    assert line.startswith(
        "Best score threshold for boxes (highest F1): c2 0.40 (precision 0.80, recall 0.60), c3"
    )
    assert line.endswith("; those of 2 more classes are in the JSON.")
