"""Matches boxes to objects, and samples the boxes used in the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .boxes import pairwise_iou

IGNORED, NEGATIVE, POSITIVE = -1, 0, 1

_PAIRS_AT_ONCE = 2**22
"""Pairs of object and box compared at once; 300 objects and 270,000 anchors at once would cost gigabytes."""


def match(
    objects: Tensor, boxes: Tensor, thresholds: Sequence[float], *, allow_low_quality: bool
) -> tuple[Tensor, Tensor]:
    """Assign to every box the object that it overlaps most.

    Args:
        objects: ``[M, 4]``.
        boxes: ``[N, 4]``.
        thresholds: one IoU threshold from which a box is positive, or two, between which it is ignored.
            Below, it is negative.
        allow_low_quality: also make positive, for each object, the boxes that overlap it most (ties
            included), however little. Such a box still belongs to the object that *it* overlaps most, as in
            Detectron2.

    Returns:
        the index of the object, int64 ``[N]`` (0 where there are no objects), and ``POSITIVE``, ``NEGATIVE``
        or ``IGNORED``, int8 ``[N]``.
    """
    best = boxes.new_full((len(boxes),), -1.0)
    index = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    promoted = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    chunk = max(1, _PAIRS_AT_ONCE // max(1, len(boxes)))
    for start in range(0, len(objects) if len(boxes) else 0, chunk):
        iou = pairwise_iou(objects[start : start + chunk], boxes)
        value, position = iou.max(dim=0)
        better = value > best  # not >=: the first of equals wins
        best = torch.where(better, value, best)
        index = torch.where(better, position + start, index)
        if allow_low_quality:
            highest = iou.max(dim=1, keepdim=True).values
            promoted |= ((iou == highest) & (highest > 0)).any(dim=0)
    labels = torch.full_like(index, IGNORED, dtype=torch.int8)
    labels.masked_fill_(best < thresholds[0], NEGATIVE)
    labels.masked_fill_((best >= thresholds[-1]) | promoted, POSITIVE)
    return index, labels


def subsample(labels: Tensor, num: int, positive_fraction: float, background: int) -> tuple[Tensor, Tensor]:
    """Sample boxes for the loss at random, with torch's global CPU generator.

    Args:
        labels: ``[N]``: -1 ignored, ``background`` negative, anything else positive.
        num: how many to sample; fewer if there are not enough.
        positive_fraction: maximum fraction of positives; negatives fill the rest.
        background: the label of negatives.

    Returns:
        indexes of positives and of negatives, int64.
    """
    positive = torch.nonzero((labels != IGNORED) & (labels != background)).squeeze(1)
    negative = torch.nonzero(labels == background).squeeze(1)
    num_positive = min(len(positive), int(num * positive_fraction))
    num_negative = min(len(negative), num - num_positive)
    chosen = (
        torch.randperm(len(every))[:count].to(labels.device, non_blocking=True)
        for every, count in ((positive, num_positive), (negative, num_negative))
    )
    chosen_positive, chosen_negative = chosen
    return positive[chosen_positive], negative[chosen_negative]
