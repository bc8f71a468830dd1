"""The settings of the evaluator ``coco``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from toolkit.evaluation.coco_figures import IoUType
from toolkit.evaluation.coco_matching import Thresholds
from toolkit.evaluation.slices import SliceSettings


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError("must be in ascending order, without duplicates")
    return values


class CocoSettings(SliceSettings):
    """Settings of the evaluator ``coco``."""

    iou_types: Annotated[tuple[IoUType, ...], Field(min_length=1)] | None = None
    """What to compare: `bbox`, `segm`, `keypoints`; `null` compares everything that both truth and
    predictions have.
    """

    max_detections: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1), AfterValidator(_ascending)
    ] = (1, 10, 100)
    """The numbers of detections per image for which AR is reported, in ascending order; AP uses the last one.
    Keypoints use 20, as in COCO.
    """

    boundary: bool = False
    """Whether to also compare masks along their boundaries (Boundary IoU, Cheng et al. 2021), reported as
    `boundary/AP` and so on; slower.
    """

    keypoint_sigmas: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """The standard deviation of each keypoint relative to the object's size; `null` uses those of COCO's 17
    keypoints."""

    diagnosis: bool = True
    """Whether to also report what each kind of error costs (TIDE, Bolya et al. 2020), what is confused with
    what, how well scores are calibrated, and the best score threshold of each class, for boxes and masks.
    """

    match_iou: float = Field(0.5, gt=0, le=1)
    """The IoU from which the diagnosis takes an object as found."""

    background_iou: float = Field(0.1, ge=0, le=1)
    """The IoU up to which the diagnosis takes a detection as one of background."""

    confusion_score: float = 0.5
    """Minimum score of the detections in the confusion matrix and in the figures of single images."""

    calibration_bins: int = Field(10, gt=0)
    """Into how many bins of scores detections are put to compare their scores with the share that is right.
    """

    def thresholds(self) -> Thresholds:
        """What counts as what in the diagnosis."""
        return Thresholds(self.match_iou, self.background_iou, self.confusion_score, self.max_detections[-1])
