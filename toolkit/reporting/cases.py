"""Single errors of a model, each with its place in an image, for the gallery of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.reporting.matching import MATCH_IOU, NEAR_IOU, NONE, Matched
from toolkit.types import Instances

KINDS = {
    "missed": "missed: an object that was not found",
    "invented": "invented: a detection where there is no object",
    "confused": "confused: an object that was found as another class",
    "outlined": "badly outlined: an object that was found with too little overlap",
    "duplicate": "duplicate: an object that was found once more",
}
"""The kinds of errors, and what they are."""

OUTLINED_IOU = 0.75
"""The IoU below which the answer to a prompt is badly outlined."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True)
class Case:
    """An error, or what may be a fault of a label.

    Attributes:
        kind: such as a key of ``KINDS``.
        image: the place of the image in the dataset.
        box: where in the image.
        label: the class that it is listed under, an index.
        other: the class that it was taken for, an index; None where there is none.
        score: of the detection; None without one.
        iou: with the object; None without one.
        weight: what it is ranked by; more comes first.
        probability: of what a model sees in a region of a label map, or in an image; None where it is not
            known.
        is_whole: whether it is about the class of an image as a whole.
    """

    kind: str
    image: int
    box: Box
    label: int
    other: int | None = None
    score: float | None = None
    iou: float | None = None
    weight: float = 0.0
    probability: float | None = None
    is_whole: bool = False


def box_of(instances: Instances, index: int) -> Box:
    """The box of an object."""
    x0, y0, x1, y1 = (float(value) for value in instances.boxes_xyxy[index])
    return x0, y0, x1, y1


def object_cases(
    image: int, truth: Instances, found: Instances, matched: Matched, threshold: float
) -> list[Case]:
    """The errors of an image among its detections from a score on.

    Args:
        image: its place in the dataset.
        truth, found: its objects and detections.
        matched: of these.
        threshold: the score.
    """
    kept = (matched.scores >= threshold) & ~matched.ignored
    cases: list[Case] = []
    taken = set(matched.match[kept & (matched.match != NONE)].tolist())
    explained = set[int]()
    for row in np.flatnonzero(kept & (matched.match == NONE)).tolist():
        kind, target = _kind(matched, row)
        if kind == "duplicate" and target not in taken:
            kind = "outlined"
        if kind in ("confused", "outlined") and target not in taken:
            explained.add(target)
        own = int(matched.labels[row])
        label = own if target == NONE else int(matched.true_labels[target])
        score = float(matched.scores[row])
        iou = None if target == NONE else float(matched.overlaps[row, target])
        box = box_of(found, int(matched.order[row]))
        weight = score * (1 - iou if kind == "outlined" and iou is not None else 1)
        cases.append(Case(kind, image, box, label, own if label != own else None, score, iou, weight))
    for index in range(len(truth)):
        if index not in taken and index not in explained and not matched.crowd[index]:
            box = box_of(truth, index)
            area = (box[2] - box[0]) * (box[3] - box[1]) / max(1, truth.size[0] * truth.size[1])
            cases.append(Case("missed", image, box, int(matched.true_labels[index]), weight=area))
    return cases


def _kind(matched: Matched, row: int) -> tuple[str, int]:
    """What is wrong with a detection, and the object that it is about."""
    overlaps = np.where(matched.crowd, 0.0, matched.overlaps[row])
    if not len(overlaps) or overlaps.max() < NEAR_IOU:
        return "invented", NONE
    same = matched.true_labels == matched.labels[row]
    own, others = np.where(same, overlaps, -1.0), np.where(same, -1.0, overlaps)
    if own.max() >= MATCH_IOU:
        return "duplicate", int(own.argmax())
    if others.max() >= MATCH_IOU:
        return "confused", int(others.argmax())
    if own.max() >= NEAR_IOU:
        return "outlined", int(own.argmax())
    return "invented", NONE


def answer_cases(image: int, truth: Instances, answers: Instances, overlaps: Sequence[float]) -> list[Case]:
    """The answers to prompts that overlap their objects too little.

    Args:
        image: its place in the dataset.
        truth, answers: one to one.
        overlaps: the IoU of each pair.
    """
    cases = []
    for index, iou in enumerate(overlaps):
        if iou < OUTLINED_IOU:
            score = None if answers.scores is None else float(answers.scores[index])
            label, box = int(truth.labels[index]), box_of(truth, index)
            cases.append(
                Case("outlined", image, box, label, score=score, iou=float(iou), weight=1 - float(iou))
            )
    return cases


def most_telling(cases: Iterable[Case], each: int, per_image: int = 2) -> list[Case]:
    """Of each kind those with the most weight, and not too many of one image.

    Args:
        cases: of all images.
        each: how many of a kind.
        per_image: how many of a kind and an image.
    """
    chosen: list[Case] = []
    counts: dict[tuple[str, int], int] = {}
    per_kind: dict[str, int] = {}
    for case in sorted(cases, key=lambda case: -case.weight):
        key = case.kind, case.image
        if per_kind.get(case.kind, 0) < each and counts.get(key, 0) < per_image:
            chosen.append(case)
            counts[key] = counts.get(key, 0) + 1
            per_kind[case.kind] = per_kind.get(case.kind, 0) + 1
    order = list(KINDS)
    return sorted(chosen, key=lambda case: order.index(case.kind))
