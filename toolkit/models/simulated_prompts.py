"""Prompts derived from true masks, for evaluating and training promptable models.

The clicks are those of SAM's papers (Kirillov et al., Segment Anything, ICCV 2023; Ravi et al., SAM 2, 2024):
the point of a region that is farthest from its boundary, first of the object, then of the largest error
region.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from toolkit.errors import InvalidDataError
from toolkit.types import Instances, Masks, Prompts, Sample

BOX, POINT, AUTO = "box", "point", "auto"
_POINT = re.compile(r"point(?:\+([1-9]\d?))?")


def corrections_of(protocol: str) -> int:
    """The number of corrections after the first click: 0 for ``point``, 2 for ``point+2``.

    Raises:
        InvalidDataError: when the name is not ``box``, ``point``, ``point+N`` or ``auto``.
    """
    match = _POINT.fullmatch(protocol)
    if match is None and protocol not in (BOX, AUTO):
        raise InvalidDataError(
            f"unknown prompt protocol {protocol!r}; expected box, point, point+N (with N corrections) or auto"
        )
    return int(match[1] or 0) if match else 0


def truth_of(sample: Sample) -> Instances:
    """The true objects of a sample, which must have masks.

    Raises:
        InvalidDataError: when it has none.
    """
    if sample.instances is None or sample.instances.masks is None:
        raise InvalidDataError(
            f"sample {sample.path or sample.id!r} has no object masks to derive prompts from. Hint: choose a"
            " dataset with instances"
        )
    return sample.instances


def box_prompts(truth: Instances) -> Prompts:
    """The box of each object."""
    return Prompts(boxes_xyxy=truth.boxes_xyxy, labels=truth.labels)


def point_prompts(truth: Instances) -> Prompts:
    """The most interior point of each object."""
    masks = truth.masks
    assert masks is not None  # ensured by ``truth_of``
    points = [interior_point(region, offset) for region, offset in map(_crop, masks.to_coco())]
    found = torch.tensor(
        [(0.0, 0.0) if point is None else point for point in points], dtype=torch.float32
    ).reshape(-1, 1, 2)
    return Prompts(found, torch.ones(found.shape[:2], dtype=torch.int64), labels=truth.labels)


def with_corrections(prompts: Prompts, truth: Masks, answers: Masks) -> Prompts:
    """The prompts with one more point each, in the largest error region of the answer: label 1 for a missed
    region, 0 for a false positive one.

    A perfect answer gets a padding point (label -1).
    """
    assert prompts.points_xy is not None
    assert prompts.point_labels is not None
    clicks = [correction(*pair) for pair in zip(truth.to_coco(), answers.to_coco(), strict=True)]
    points = torch.tensor([click[:2] for click in clicks], dtype=torch.float32).reshape(-1, 1, 2)
    labels = torch.tensor([click[2] for click in clicks], dtype=torch.int64).reshape(-1, 1)
    return Prompts(
        torch.cat([prompts.points_xy, points], 1),
        torch.cat([prompts.point_labels, labels], 1),
        labels=prompts.labels,
    )


def correction(truth: dict[str, object], answer: dict[str, object]) -> tuple[float, float, int]:
    """x, y and label of the click that corrects an answer; both masks are COCO run-length codes."""
    region, (x0, y0) = _crop(coco_mask.merge([truth, answer]))
    height, width = region.shape
    inside = np.s_[y0 : y0 + height, x0 : x0 + width]
    true, found = (coco_mask.decode(code)[inside].astype(bool) for code in (truth, answer))
    candidates = []
    for label, wrong in ((1, true & ~found), (0, found & ~true)):
        largest = _largest_part(wrong)
        point = interior_point(largest, (x0, y0))
        if point is not None:
            candidates.append((int(largest.sum()), (*point, label)))
    return max(candidates)[1] if candidates else (0.0, 0.0, -1)


def interior_point(region: NDArray[np.bool_], offset: tuple[int, int] = (0, 0)) -> tuple[float, float] | None:
    """x and y of the pixel center that is farthest from everything outside the region, or None when the
    region is empty.

    Args:
        region: bool ``[H, W]``; everything beyond its border is outside.
        offset: x and y of its corner in the image.
    """
    if not region.any():
        return None
    padded = np.pad(region, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Squared distances are integers. OpenCV's square roots of equal values may differ in the last bit, and
    # not in the same way in each process.
    y, x = np.unravel_index(int(np.rint(distance * distance).argmax()), distance.shape)
    return float(x + offset[0]), float(y + offset[1])


def _largest_part(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a region."""
    if not region.size:  # OpenCV crashes
        return region
    count, parts, figures, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    if count <= 2:
        return region
    return np.asarray(parts == 1 + int(figures[1:, cv2.CC_STAT_AREA].argmax()))


def _crop(code: dict[str, object]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """A mask cropped to its own box, and the corner of that box, to keep the work small."""
    x, y, width, height = (int(value) for value in coco_mask.toBbox(code))
    return coco_mask.decode(code)[y : y + height, x : x + width].astype(bool), (x, y)
