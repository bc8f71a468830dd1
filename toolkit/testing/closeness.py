"""Compares two predictions, exactly or approximately, and describes how they differ."""

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.types import Instances, Masks, PanopticMap, PixelMap, Prediction

PIXELS = 0.002
"""The fraction of pixels in which two approximately equal label maps or masks may differ: where two classes
tie, rounding decides.
"""

BOX = 0.1
"""Tolerance for the sides of boxes, in pixels."""

NUMBERS = 1e-3
"""Tolerance for the numbers of a map, relative to the largest."""

SCORE = 1e-3
"""Tolerance for scores."""


def difference(one: Prediction, other: Prediction, *, exact: bool = False) -> str:
    """How two predictions for one image differ, in words; empty if they do not.

    Args:
        one, other: the predictions to compare.
        exact: require identical numbers; otherwise allow rounding differences, such as those between batch
            sizes.
    """
    if one.size != other.size:
        return f"sizes {one.size} and {other.size}"
    for name in ("label_map", "instances"):
        if (getattr(one, name) is None) != (getattr(other, name) is None):
            return f"only one has {name}"
    if one.label_map is not None and other.label_map is not None:
        part = float((one.label_map != other.label_map).float().mean())
        if part > (0 if exact else PIXELS):
            return f"the label maps differ in {part:.1%} of the pixels"
    if set(one.extras) != set(other.extras):
        return f"extras {sorted(one.extras)} and {sorted(other.extras)}"
    for name, value in one.extras.items():
        if isinstance(value, PanopticMap):
            what = _panoptic(value, other.extras[name], exact)
            if what:
                return f"{name}: {what}"
            continue
        apart = _numbers_apart(value, other.extras[name])
        if apart > (0 if exact else NUMBERS):
            return f"{name} differs by up to {apart:.3g}, relative to its largest value"
    if one.instances is not None and other.instances is not None:
        return _instances(one.instances, other.instances, exact)
    return ""


def _numbers_apart(one: object, other: object) -> float:
    """The maximum difference of maps, tensors or numbers, relative to the largest; 0 or infinity for anything
    else.
    """
    one, other = (_as_numbers(value) for value in (one, other))
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return 0.0 if one == other else float("inf")
    if one.shape != other.shape or not torch.equal(one.isnan(), other.isnan()):
        return float("inf")
    largest = float(one.nan_to_num().abs().max()) if one.numel() else 0.0
    return _apart(one.nan_to_num(), other.nan_to_num()) / max(largest, 1e-12)


def _as_numbers(value: object) -> object:
    """What can be subtracted as a tensor; anything else as it is."""
    if isinstance(value, PixelMap):
        return value.values
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value


def _panoptic(one: PanopticMap, other: object, exact: bool) -> str:
    if not isinstance(other, PanopticMap):
        return f"segments and {type(other).__name__}"
    one, other = _by_place(one), _by_place(other)
    kinds = [[(s.label, s.is_thing, s.is_crowd) for s in each.segments] for each in (one, other)]
    if kinds[0] != kinds[1]:
        return f"{len(one.segments)} and {len(other.segments)} segments, or others"
    part = float((one.numbers != other.numbers).float().mean())
    if part > (0 if exact else PIXELS):
        return f"the segments differ in {part:.1%} of the pixels"
    for a, b in zip(one.segments, other.segments, strict=True):
        if (a.score is None) != (b.score is None):
            return "only one has scores"
        if abs((a.score or 0.0) - (b.score or 0.0)) > (0 if exact else SCORE):
            return f"the scores {a.score} and {b.score}"
    return ""


def _by_place(panoptic: PanopticMap) -> PanopticMap:
    """The same with segments in the order of their first pixels, since their numbers are arbitrary."""
    present, first = np.unique(panoptic.numbers.numpy(), return_index=True)
    order = [int(number) for number in present[np.argsort(first)] if number]
    table = torch.zeros(len(order) + 1, dtype=torch.int32)
    table[torch.tensor(order, dtype=torch.int64)] = torch.arange(1, len(order) + 1, dtype=torch.int32)
    segments = tuple(panoptic.segments[number - 1] for number in order)
    return PanopticMap(table[panoptic.numbers.long()], segments)


def _instances(one: Instances, other: Instances, exact: bool) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} objects"
    if not torch.equal(one.labels, other.labels):
        return f"labels {one.labels.tolist()} and {other.labels.tolist()}"
    if _apart(one.boxes_xyxy, other.boxes_xyxy) > (0 if exact else BOX):
        return f"boxes up to {_apart(one.boxes_xyxy, other.boxes_xyxy):.3g} pixels apart"
    if (one.scores is None) != (other.scores is None) or (one.masks is None) != (other.masks is None):
        return "only one has scores, or masks"
    if (
        one.scores is not None
        and other.scores is not None
        and _apart(one.scores, other.scores) > (0 if exact else SCORE)
    ):
        return f"scores up to {_apart(one.scores, other.scores):.3g} apart"
    if one.masks is not None and other.masks is not None:
        least = min(_overlaps(one.masks, other.masks), default=1.0)
        if least < (1 if exact else 1 - PIXELS):
            return f"masks with an IoU of only {least:.3f}"
    return ""


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max()) if one.numel() else 0.0


def _overlaps(one: Masks, other: Masks) -> list[float]:
    """The IoU of each pair; 1 for two empty masks."""
    pairs = zip(one.to_coco(), other.to_coco(), strict=True)
    return [1.0 if a == b else float(np.nan_to_num(coco_mask.iou([a], [b], [0])[0, 0])) for a, b in pairs]
