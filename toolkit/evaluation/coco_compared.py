"""An image whose detections are compared with its objects, whatever they were read from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from toolkit.evaluation.coco_accumulation import ImageMatches, match_overlaps
from toolkit.evaluation.coco_boundary import match_boundaries
from toolkit.evaluation.coco_figures import IoUType, overlap_parameters
from toolkit.evaluation.coco_matching import Found, Judged, Thresholds, judge


class ComparedImage(ABC):
    """Finds out once what is asked of an image, however often a bootstrap draws it.

    Attributes:
        known: what was found out, by the arguments of the methods.
    """

    known: dict[Any, Any]

    @abstractmethod
    def sides(self, kind: IoUType) -> tuple[Found, Found]:
        """Objects and detections, with masks if ``kind`` is ``segm``, and with areas."""

    def judged(self, kind: IoUType, thresholds: Thresholds) -> Judged:
        """The detections that are right, and the errors of the others."""
        key = (kind, thresholds.key)
        judged: Judged | None = self.known.get(key)
        if judged is None:
            judged = self.known[key] = judge(*self.sides(kind), thresholds)
        return judged

    def matches(self, kind: IoUType | Literal["boundary"], max_detections: tuple[int, ...]) -> ImageMatches:
        """The detections that have found an object by COCO's rules, for boxes, for masks, or for masks
        compared along their boundaries.
        """
        key = (kind, max_detections)
        if key not in self.known:
            parameters = overlap_parameters(max_detections)
            sides = self.sides("segm" if kind == "boundary" else kind)
            match = match_boundaries if kind == "boundary" else match_overlaps
            self.known[key] = match(*sides, parameters)
        matches: ImageMatches = self.known[key]
        return matches
