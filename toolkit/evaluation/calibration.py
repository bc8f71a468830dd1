"""Calibration: of the predictions with a score of 0.8, four in five should be correct.

The expected calibration error (ECE) is that of Guo et al., "On Calibration of Modern Neural Networks" (ICML
2017), with bins of equal width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.report import Curve

Floats = NDArray[np.float64]

RIGHT = "fraction correct"
"""The line of a reliability diagram."""


@dataclass(frozen=True)
class Bins:
    """Counts of predictions by score; bins of several images or processes can be added.

    Attributes:
        counts: number of predictions in each bin, float64 ``[B]``; bin ``i`` contains the scores from
            ``i / B`` up to, but not including, ``(i + 1) / B``, and the last also 1.
        scores: the sums of their scores.
        correct: the numbers of correct predictions.
    """

    counts: Floats
    scores: Floats
    correct: Floats

    @classmethod
    def empty(cls, bins: int) -> Bins:
        """No predictions."""
        return cls(*(np.zeros(bins) for _ in range(3)))

    @classmethod
    def of(cls, scores: NDArray[np.floating], correct: NDArray[np.bool_], bins: int) -> Bins:
        """Count predictions.

        Args:
            scores: floating ``[N]``, from 0 to 1.
            correct: bool ``[N]``, which of them are correct.
            bins: number of bins.
        """
        places = np.minimum((np.asarray(scores, np.float64) * bins).astype(np.int64), bins - 1)
        weights = (None, scores, correct)
        return cls(*(np.bincount(places, each, minlength=bins).astype(np.float64) for each in weights))

    def __add__(self, other: Bins) -> Bins:
        return Bins(self.counts + other.counts, self.scores + other.scores, self.correct + other.correct)

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance between score and fraction of correct
        predictions; NaN without predictions.
        """
        total = self.counts.sum()
        return float(np.abs(self.scores - self.correct).sum() / total) if total else float("nan")

    def curve(self, what: str) -> Curve:
        """A reliability diagram: the fraction of correct predictions over their mean score, and how many
        predictions each bin has.

        Args:
            what: what is correct or not, such as "detections".
        """
        middles = (np.arange(len(self.counts)) + 0.5) / len(self.counts)
        with np.errstate(invalid="ignore"):
            lines = {
                "mean score": (self.scores / self.counts).tolist(),
                RIGHT: (self.correct / self.counts).tolist(),
                f"fraction of all {what}": (self.counts / self.counts.sum()).tolist(),
            }
        return Curve("score", f"fraction of {what}", middles.tolist(), lines)
