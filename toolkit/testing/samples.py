"""Generated samples for the checks."""

from __future__ import annotations

from toolkit.models.simulated_prompts import box_prompts, point_prompts, truth_of
from toolkit.types import Prompts, Sample

CLASSES = ("background", "disc", "box")
"""The classes of the examples."""


def with_prompts(sample: Sample, *, points: bool = True, boxes: bool = True) -> Sample:
    """The sample with a prompt for each of its objects: its most interior point, its box, or both."""
    truth = truth_of(sample)
    point, box = point_prompts(truth), box_prompts(truth)
    return sample.with_(
        prompts=Prompts(
            points_xy=point.points_xy if points else None,
            point_labels=point.point_labels if points else None,
            boxes_xyxy=box.boxes_xyxy if boxes else None,
            labels=truth.labels,
        )
    )


def unlabeled(sample: Sample) -> Sample:
    """The sample as inference sees it: the image, and the prompts, if any."""
    return Sample(sample.id, sample.image, prompts=sample.prompts, path=sample.path)
