"""The pointing game: whether a map's largest value is on the object that it explains.

Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016. Their tolerance of 15 pixels in
photos of about 500 is a fraction here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.explaining.prediction_intervals import Interval, of_proportion
from toolkit.explaining.similarity import box_ious
from toolkit.types import BACKGROUND, Instances, Sample, Target

TOLERANCE = 0.03
"""How far the largest value may be from the object, as a fraction of the photo's longer side."""

SAME_OBJECT = 0.5
"""The IoU from which on a detection counts as one of a true object."""


@dataclass(frozen=True)
class Pointing:
    """Where a map points.

    Attributes:
        hit: whether its largest value is on the object, or within the tolerance; false for a constant map,
            which points nowhere.
        energy: the share of the map's sum that is on the object; for a map with values below 0, of the part
            above 0. NaN if it is 0 everywhere.
    """

    hit: bool
    energy: float


def point(values: Tensor, truth: Tensor, tolerance: float = TOLERANCE) -> Pointing:
    """Play the game with one map.

    Args:
        values: floating ``[H, W]``.
        truth: bool ``[H, W]``, the pixels of the object.
        tolerance: as a fraction of the longer side.

    Raises:
        InvalidDataError: when the sizes differ, or the object has no pixels.
    """
    if values.shape != truth.shape or not bool(truth.any()):
        raise InvalidDataError(
            f"the pointing game needs an object of the map's size {list(values.shape)} with pixels, not"
            f" {list(truth.shape)} with {int(truth.sum())}"
        )
    positive = values.double().clamp(min=0)
    total = float(positive.sum())
    energy = float(positive[truth].sum()) / total if total > 0 else float("nan")
    low, high = (float(end) for end in torch.aminmax(values))
    if low == high:
        return Pointing(False, energy)
    # distance of each pixel to the nearest one of the object
    outside = (~truth).numpy().astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = distance.flat[int(values.flatten().argmax())] <= tolerance * max(values.shape)
    return Pointing(bool(near), energy)


def hit_rate(games: Sequence[Pointing]) -> Interval:
    """The share of hits, with Wilson's 95 % interval."""
    return of_proportion(sum(game.hit for game in games), len(games))


def truth_for(target: Target, sample: Sample, classes: Sequence[str]) -> Tensor | None:
    """The true pixels of a target.

    For a class, all pixels of the class; for a region, those in the connected region around the target's; for
    an object and for the answer to a prompt, the true object that it matches with an IoU of at least 0.5.

    Args:
        target: what is explained.
        sample: the photo, with its truth.
        classes: those of the truth and of the target.

    Returns:
        bool ``[H, W]``, or None if the truth has nothing there, or no object that matches.
    """
    if target.kind in ("class", "region"):
        assert target.label is not None  # Target has checked it
        found = _pixels_of_class(sample, target.label, classes)
        if found is not None and target.kind == "region":
            found = _around(found, target.mask)
    else:
        found = None if sample.instances is None else _same_object(target, sample.instances)
    return found if found is not None and bool(found.any()) else None


def _pixels_of_class(sample: Sample, label: int, classes: Sequence[str]) -> Tensor | None:
    if sample.label_map is not None:
        return sample.label_map == label
    if sample.instances is None or sample.instances.masks is None or classes[label] == BACKGROUND:
        return None
    return sample.instances.masks[sample.instances.labels == label].dense().any(dim=0)


def _around(found: Tensor, part: Tensor | None) -> Tensor:
    """The connected regions of ``found`` that overlap with ``part``."""
    _, numbers = cv2.connectedComponents(found.numpy().astype(np.uint8))
    here = np.unique(numbers if part is None else numbers[part.numpy()])
    return torch.from_numpy(np.isin(numbers, here[here > 0]))


def _same_object(target: Target, truth: Instances) -> Tensor | None:
    if truth.masks is None or not len(truth):
        return None
    candidates = truth
    if target.kind == "object" and target.label is not None:
        candidates = truth[torch.eq(truth.labels, target.label)]
    if not len(candidates) or candidates.masks is None:
        return None
    dense = candidates.masks.dense()
    if target.mask is not None:
        either = (dense | target.mask).sum(dim=(1, 2)).clamp(min=1)
        overlaps = (dense & target.mask).sum(dim=(1, 2)) / either
    else:
        assert target.box_xyxy is not None  # Target has checked it
        overlaps = box_ious(candidates.boxes_xyxy, target.box_xyxy)
    best = int(overlaps.argmax())
    return dense[best] if float(overlaps[best]) >= SAME_OBJECT else None
