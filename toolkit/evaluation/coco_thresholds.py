"""The score from which detections are worth keeping: where F1 is highest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.evaluation.coco_errors import Detections
from toolkit.evaluation.coco_matching import Bools, Floats

GRID = np.linspace(0, 1, 101)
"""The thresholds of the curves."""


@dataclass(frozen=True)
class BestThreshold:
    """The threshold with the highest F1 and what is reached there: detections with this score or more are
    kept. Of several, the highest.

    Attributes:
        threshold: NaN where no detection is right.
        f1, precision, recall: NaN without objects; 0 where no detection is right, but for the precision,
            which is NaN without detections.
    """

    threshold: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class ScoreCurves:
    """Precision, recall and F1 over the threshold, float64 ``[T]`` each; NaN where undefined.

    Attributes:
        thresholds: in descending order.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    @classmethod
    def of(
        cls, scores: Floats, correct: Bools, objects: int, thresholds: Floats | None = None
    ) -> ScoreCurves:
        """Those of some detections.

        Args:
            scores: in descending order.
            correct: which are right.
            objects: that there are to be found.
            thresholds: in descending order; every score that occurs when None.
        """
        thresholds = np.unique(scores)[::-1] if thresholds is None else thresholds
        kept = np.searchsorted(-scores, -thresholds, side="right")
        right = np.concatenate([[0], np.cumsum(correct)])[kept]
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * right / (kept + objects) if objects else np.full(len(kept), np.nan)
            recall = right / objects if objects else np.full(len(kept), np.nan)
            return cls(thresholds, right / kept, recall, f1)

    def best(self) -> BestThreshold:
        """Where F1 is highest."""
        if not len(self.f1):
            return BestThreshold(np.nan, np.nan, np.nan, np.nan)
        place = int(self.f1.argmax()) if not np.isnan(self.f1).all() else 0
        f1 = float(self.f1[place])
        threshold = float(self.thresholds[place]) if f1 > 0 else np.nan
        return BestThreshold(threshold, f1, float(self.precision[place]), float(self.recall[place]))


def best_thresholds(detections: Detections) -> list[BestThreshold]:
    """The best threshold of each class, among the scores that occur."""
    found = []
    for label, objects in enumerate(detections.objects.tolist()):
        mine = (detections.labels == label) & ~detections.ignored
        if mine.any():
            curves = ScoreCurves.of(detections.scores[mine], detections.correct[mine], objects)
            found.append(curves.best())
        else:
            nothing = 0.0 if objects else np.nan
            found.append(BestThreshold(np.nan, nothing, np.nan, nothing))
    return found


def score_curves(detections: Detections) -> list[ScoreCurves]:
    """The curves of each class over ``GRID``, whose thresholds are in descending order."""
    curves = []
    for label, objects in enumerate(detections.objects.tolist()):
        mine = (detections.labels == label) & ~detections.ignored
        scores, correct = detections.scores[mine], detections.correct[mine]
        curves.append(ScoreCurves.of(scores, correct, objects, GRID[::-1]))
    return curves
