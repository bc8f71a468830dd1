"""Bootstrap draws of the evaluator ``coco``: the objects and detections of an image are matched once, however
often it is drawn, and a draw only counts and sorts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from toolkit.evaluation.coco_accumulation import match_table
from toolkit.evaluation.coco_diagnosis import DIAGNOSED, diagnose_draw
from toolkit.evaluation.coco_errors import judged_table
from toolkit.evaluation.coco_figures import (
    Figures,
    IoUType,
    figures,
    overlap_parameters,
    sliced,
    table_figures,
)
from toolkit.evaluation.coco_matching import Ints, Thresholds
from toolkit.evaluation.coco_objects import ImageRecord, Images, kinds_of
from toolkit.evaluation.coco_settings import CocoSettings
from toolkit.evaluation.coco_tables import ImageTable

State = Mapping[str, ImageRecord]
Overlap = IoUType | Literal["boundary"]


class DrawnImages:
    """Images that are drawn from, in the order of the dataset.

    Args:
        states: of the evaluator. A sample that is in several counts as often as the last of them.
        order: the place of each sample in the dataset; others follow, by their ids.

    Attributes:
        ids, images: of the samples, ``I`` of them.
    """

    def __init__(self, states: Sequence[State], order: Mapping[str, int]) -> None:
        self._states = list(states)
        owners = {sample_id: place for place, state in enumerate(states) for sample_id in state}
        self.ids = sorted(owners, key=lambda key: (order.get(key, len(order)), key))
        self.images = [states[owners[sample_id]][sample_id] for sample_id in self.ids]
        self.kinds = kinds_of(self.images)
        self._owners = np.array([owners[sample_id] for sample_id in self.ids], dtype=np.int64)
        self._tables: dict[object, ImageTable] = {}

    def are_of(self, states: Sequence[State]) -> bool:
        """Whether these are the images of these states."""
        return len(states) == len(self._states) and all(
            one is other for one, other in zip(states, self._states, strict=True)
        )

    def times(self, of_states: Sequence[int]) -> Ints:
        """How often each image was drawn, int64 ``[I]``, from how often each state was."""
        return np.asarray(of_states, dtype=np.int64)[self._owners]

    def matched(self, kind: Overlap, max_detections: tuple[int, ...]) -> ImageTable:
        """All images, matched by COCO's rules."""
        key = (kind, max_detections)
        if key not in self._tables:
            matches = [image.matches(kind, max_detections) for image in self.images]
            self._tables[key] = match_table(matches, overlap_parameters(max_detections))
        return self._tables[key]

    def judged(self, kind: IoUType, thresholds: Thresholds) -> ImageTable:
        """All images, with what is wrong with their detections."""
        key = (kind, thresholds)
        if key not in self._tables:
            self._tables[key] = judged_table([image.judged(kind, thresholds) for image in self.images])
        return self._tables[key]


def draw_figures(
    images: DrawnImages,
    times: Ints,
    settings: CocoSettings,
    classes: Sequence[str],
    groups: Mapping[str, Sequence[int]],
) -> list[Figures]:
    """The metrics of a draw.

    Args:
        images: that are drawn from.
        times: how often each was drawn, int64 ``[I]``.
        settings: of the evaluator.
        classes: their names.
        groups: the places of the images of each group.
    """
    limits = settings.max_detections
    categories = list(enumerate(classes, start=1))
    kinds = list(settings.iou_types or images.kinds)

    def figures_of(kind: Overlap, drawn: Ints) -> Figures:
        if kind == "keypoints":
            some = [image for image, count in zip(images.images, drawn, strict=True) for _ in range(count)]
            pair, sigmas = Images(some).pair(kind, classes), settings.keypoint_sigmas
            return figures(*pair, kind, categories, max_detections=limits, sigmas=sigmas)
        table = images.matched(kind, limits).repeated(drawn)
        return table_figures(kind, table, categories, max_detections=limits, only_metrics=True)

    parts = [figures_of(kind, times) for kind in kinds]
    if settings.boundary and "segm" in kinds:
        parts.append(figures_of("boundary", times))
    for kind in kinds:
        if settings.diagnosis and kind in DIAGNOSED:
            table = images.judged(kind, settings.thresholds()).repeated(times)
            parts.append(diagnose_draw(table, kind, len(classes), settings.calibration_bins))
    for kind in kinds:
        for group, positions in groups.items():
            chosen = np.isin(np.arange(len(times)), positions)
            parts.append(sliced(figures_of(kind, times * chosen), group))
    return parts
