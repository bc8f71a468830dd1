"""Labels that may be wrong, ranked: places where a model that is mostly right disagrees with the label.

A suspicion is weighed by how far the model can be trusted in this regard on the other images: a detection by
how many of those with its score or more are right, an object that nothing comes near by how many of its class
are found, a region of a label map by how sure the model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.reporting.cases import Box, Case, box_of
from toolkit.reporting.matching import MATCH_IOU, NEAR_IOU, NONE, Floats, Matched, truth_overlaps
from toolkit.types import Instances

SUSPECTS = {
    "missing": "an object may lack its label",
    "class": "the class of the label may be wrong",
    "shifted": "the outline of the label may be wrong",
    "twice": "the object may be labeled twice",
    "spurious": "there may be no such object",
    "region": "the label of a region may be wrong",
    "image": "the class of an image may be wrong",
}
"""The kinds of faults of labels, and what is suspected."""

CONFIDENT = 0.5
"""The score from which a detection can cast doubt on a label."""
SHIFTED = (0.3, 0.7)
"""The IoU between which the outline of an object is in doubt."""
TWICE_IOU = 0.7
"""The IoU from which two objects may be one."""
FAINT = 0.05
"""The score from which a detection speaks for an object."""
SURENESS = 4
"""The power to which the share of the usual probability is taken: at half of it, little is left."""


@dataclass(frozen=True)
class Trust:
    """How far a model can be trusted.

    Attributes:
        scores: of all detections in ascending order, float64 ``[N]``.
        right: the share of right detections among those with this score or more, float64 ``[N]``.
        recall: the share of the objects of each class that was found by any detection, float64 ``[C]``; 0
            without objects.
        typical_iou: the median IoU of right detections; 1 without any.
        typical_spread: by how much the IoU of half of them differs from it at most; 0 without any.
    """

    scores: Floats
    right: Floats
    recall: Floats
    typical_iou: float
    typical_spread: float

    @classmethod
    def of(cls, images: Sequence[Matched], classes: int) -> Trust:
        """That of a model with these detections."""
        scores = np.concatenate([np.zeros(0), *(image.scores[~image.ignored] for image in images)])
        correct = np.concatenate([np.zeros(0), *(image.match[~image.ignored] != NONE for image in images)])
        order = np.argsort(-scores, kind="stable")
        right = (np.cumsum(correct[order]) / np.arange(1, len(order) + 1))[::-1]
        found, objects = np.zeros(classes), np.zeros(classes)
        overlaps = [np.zeros(0)]
        for image in images:
            rows = np.flatnonzero(image.match != NONE)
            overlaps.append(image.overlaps[rows, image.match[rows]])
            np.add.at(found, image.true_labels[image.match[rows]], 1)
            np.add.at(objects, image.true_labels[~image.crowd], 1)
        every = np.concatenate(overlaps)
        middle = float(np.median(every)) if len(every) else 1.0
        spread = float(np.median(np.abs(every - middle))) if len(every) else 0.0
        return cls(scores[order][::-1], right, found / np.maximum(objects, 1), middle, spread)

    def at(self, score: float) -> float:
        """How far a detection of this score can be trusted, from 0 to 1."""
        place = int(np.searchsorted(self.scores, score))
        return float(self.right[min(place, len(self.right) - 1)]) if len(self.right) else 0.0

    def oddness(self, iou: float) -> float:
        """How far an IoU lies below what is usual, from 0 (usual) to nearly 1."""
        below = max(0.0, self.typical_iou - iou)
        return below / (below + 2 * self.typical_spread + 0.05)


def object_suspects(
    image: int, truth: Instances, found: Instances, matched: Matched, trust: Trust
) -> list[Case]:
    """The suspicions about the labels of one image, the strongest of each place.

    Args:
        image: its place in the dataset.
        truth, found: its objects and detections.
        matched: of these.
        trust: of the model.
    """
    cases = [
        *_doubted_by_detections(image, found, matched, trust),
        *_labeled_twice(image, truth, matched),
        *_without_detection(image, truth, matched, trust),
    ]
    return _one_per_place(cases)


def _doubted_by_detections(image: int, found: Instances, matched: Matched, trust: Trust) -> list[Case]:
    cases = []
    same, real = matched.same, ~matched.crowd
    for row in np.flatnonzero((matched.scores >= CONFIDENT) & ~matched.ignored).tolist():
        score, label = float(matched.scores[row]), int(matched.labels[row])
        overlaps = matched.overlaps[row]
        box = box_of(found, int(matched.order[row]))
        weight = score * trust.at(score)
        if not (overlaps >= NEAR_IOU).any():
            cases.append(Case("missing", image, box, label, score=score, weight=weight))
            continue
        own, others = (np.where(kind & real, overlaps, -1.0) for kind in (same[row], ~same[row]))
        best = int(own.argmax())
        if own[best] >= MATCH_IOU and matched.match[row] == NONE:  # a duplicate casts no doubt
            continue
        if SHIFTED[0] <= own[best] <= SHIFTED[1]:
            iou = float(own[best])
            cases.append(Case("shifted", image, box, label, None, score, iou, weight * trust.oddness(iou)))
        elif own[best] < SHIFTED[0] and others.max() >= MATCH_IOU:
            target = int(others.argmax())
            rivals = (matched.labels == matched.true_labels[target]) & (
                matched.overlaps[:, target] >= MATCH_IOU
            )
            rival = float(matched.scores[rivals].max()) if rivals.any() else 0.0
            doubt = weight * (1 - min(1.0, rival))
            true_label, iou = int(matched.true_labels[target]), float(others[target])
            cases.append(Case("class", image, box, true_label, label, score, iou, doubt))
        elif own[best] < SHIFTED[0] and others.max() < SHIFTED[0]:
            # near an object, but not it
            iou = float(max(own[best], others.max(), 0.0))
            cases.append(Case("missing", image, box, label, None, score, iou, weight * (1 - iou)))
    return cases


def _labeled_twice(image: int, truth: Instances, matched: Matched) -> list[Case]:
    overlaps = np.triu(truth_overlaps(truth), 1)
    overlaps[matched.crowd] = overlaps[:, matched.crowd] = 0
    cases = []
    for first, second in np.argwhere(overlaps >= TWICE_IOU).tolist():
        labels = int(matched.true_labels[first]), int(matched.true_labels[second])
        iou = float(overlaps[first, second])
        other = labels[1] if labels[0] != labels[1] else None
        cases.append(Case("twice", image, box_of(truth, second), labels[0], other, None, iou, iou))
    return cases


def _without_detection(image: int, truth: Instances, matched: Matched, trust: Trust) -> list[Case]:
    cases = []
    near = (matched.overlaps >= NEAR_IOU) & (matched.scores >= FAINT)[:, None]
    for index in np.flatnonzero(~near.any(axis=0) & ~matched.crowd).tolist():
        label = int(matched.true_labels[index])
        cases.append(Case("spurious", image, box_of(truth, index), label, weight=float(trust.recall[label])))
    return cases


def _one_per_place(cases: Sequence[Case]) -> list[Case]:
    kept: list[Case] = []
    for case in sorted(cases, key=lambda case: -case.weight):
        if case.weight > 0 and all(_box_iou(case.box, other.box) < MATCH_IOU for other in kept):
            kept.append(case)
    return kept


def _box_iou(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - inside
    return inside / union if union > 0 else 0.0


def region_suspects(cases: Sequence[Case], precision: Floats, certainty: Floats | None = None) -> list[Case]:
    """Regions, or whole images, in which a model disagrees with the label, by the thickness of the region, by
    how often the model is right about the class that it sees, and by how sure it is of it. As in confident
    learning (Northcutt et al., 2021), it contradicts the label with confidence where the probability of what
    it sees is no lower than is usual for this class where model and label agree; the less sure it is, the
    weaker the suspicion.

    Args:
        cases: of ``toolkit.reporting.regions`` or ``toolkit.reporting.image_labels``.
        precision: of each class, float64 ``[C]``; NaN where it was never predicted.
        certainty: the usual probability of each class, float64 ``[C]``, of
            ``toolkit.reporting.observer.Certainty``; NaN where it is not known.
    """
    found = []
    for case in cases:
        seen = case.label if case.other is None else case.other
        weight = case.weight * float(np.nan_to_num(precision[seen]))
        if certainty is not None and case.probability is not None:
            weight *= confidence_of(case.probability, float(certainty[seen]))
        found.append(replace(case, kind="image" if case.is_whole else "region", weight=weight))
    return found


def confidence_of(probability: float, usual: float) -> float:
    """How far a contradiction counts: 1 where the model is as sure as usual, and less the less sure it is.

    Args:
        probability: of what it sees.
        usual: of this class where it is right; NaN where that is not known.
    """
    return 1.0 if np.isnan(usual) or usual <= 0 else min(1.0, probability / usual) ** SURENESS


def answer_suspects(cases: Sequence[Case]) -> list[Case]:
    """Outlines that a model is sure of and that the label contradicts.

    Args:
        cases: of ``toolkit.reporting.cases.answer_cases``.
    """
    return [
        replace(case, kind="shifted", weight=case.score * (1 - case.iou))
        for case in cases
        if case.score is not None
        and case.iou is not None
        and case.score >= CONFIDENT
        and SHIFTED[0] <= case.iou <= SHIFTED[1]
    ]


def ranked(cases: Sequence[Case], most: int) -> list[Case]:
    """The strongest suspicions first."""
    return sorted(cases, key=lambda case: (-case.weight, case.image))[:most]
