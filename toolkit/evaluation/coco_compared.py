"""An image whose detections are compared with its objects, whatever they were read from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from toolkit.evaluation.coco_accumulation import ImageMatches
from toolkit.evaluation.coco_boundary import match_boundaries
from toolkit.evaluation.coco_figures import IoUType, boundary_parameters
from toolkit.evaluation.coco_matching import Found, Judged, Thresholds, judge


class ComparedImage(ABC):
    """Finds out once what is asked of an image, however often a bootstrap draws it.

    Attributes:
        known: what was found out, by the arguments of the methods.
    """

    known: dict[Any, Any]

    @abstractmethod
    def sides(self, kind: IoUType) -> tuple[Found, Found]:
        """Objects and detections, with masks and areas if ``kind`` is ``segm``."""

    def judged(self, kind: IoUType, thresholds: Thresholds) -> Judged:
        """The detections that are right, and the errors of the others."""
        key = (kind, thresholds.key)
        judged: Judged | None = self.known.get(key)
        if judged is None:
            judged = self.known[key] = judge(*self.sides(kind), thresholds)
        return judged

    def boundary_matches(self, max_detections: tuple[int, ...]) -> ImageMatches:
        """The masks matched along their boundaries."""
        if max_detections not in self.known:
            parameters = boundary_parameters(max_detections)
            self.known[max_detections] = match_boundaries(*self.sides("segm"), parameters)
        matches: ImageMatches = self.known[max_detections]
        return matches
