"""Boxes: deltas between them, clipping, loss of deltas. All boxes are ``x0, y0, x1, y1`` in pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Size

Weights = tuple[float, float, float, float]

MOST_GROWTH = math.log(1000 / 16)
"""dw and dh are clamped here: a box of 16 pixels grows to at most 1000 (Detectron2's own bound)."""


def encode(boxes: Tensor, targets: Tensor, weights: Weights) -> Tensor:
    """The deltas dx, dy, dw, dh, times ``weights``, that lead from ``boxes`` to ``targets``; all ``[N, 4]``
    (Girshick et al. 2014).
    """
    size = boxes[:, 2:] - boxes[:, :2]
    target_size = targets[:, 2:] - targets[:, :2]
    shift = (targets[:, :2] + 0.5 * target_size - boxes[:, :2] - 0.5 * size) / size
    growth = torch.log(target_size / size)
    return _scaled(torch.cat([shift, growth], dim=1), weights)


def decode(boxes: Tensor, deltas: Tensor, weights: Weights) -> Tensor:
    """Boxes ``[N, 4]`` moved by deltas ``[N, K * 4]``, one box per class; float32 ``[N, K * 4]``."""
    deltas = torch.unflatten(deltas.float(), 1, (-1, 4))
    deltas = _scaled(deltas, weights, divide=True)
    size = (boxes[:, 2:] - boxes[:, :2])[:, None]
    center = boxes[:, None, :2] + 0.5 * size
    new_center = deltas[..., :2] * size + center
    new_half = 0.5 * (deltas[..., 2:].clamp(max=MOST_GROWTH).exp() * size)
    return torch.cat([new_center - new_half, new_center + new_half], dim=-1).flatten(1)


def _scaled(deltas: Tensor, weights: Weights, *, divide: bool = False) -> Tensor:
    """Deltas ``[..., 4]`` times the weights, or divided by them. These stay numbers: as a tensor, they would
    have to travel to a GPU, which waits for that.
    """
    if tuple(weights) == (1.0, 1.0, 1.0, 1.0):
        return deltas
    each = zip(deltas.unbind(-1), weights, strict=True)
    return torch.stack([value / weight if divide else value * weight for value, weight in each], dim=-1)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Boxes ``[..., 4]`` clipped to the image."""
    height, width = size
    return torch.stack(
        [boxes[..., i].clamp(min=0, max=width if i % 2 == 0 else height) for i in range(4)], dim=-1
    )


def are_larger(boxes: Tensor, side: float) -> Tensor:
    """bool ``[N]``: whether both sides of a box ``[N, 4]`` are longer than ``side``."""
    return ((boxes[:, 2:] - boxes[:, :2]) > side).all(dim=1)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, ``[N, M]`` of boxes ``[N, 4]`` and ``[M, 4]``; 0 where they do not overlap,
    including boxes without area.
    """
    width = (
        torch.minimum(a[:, None, 2], b[None, :, 2]) - torch.maximum(a[:, None, 0], b[None, :, 0])
    ).clamp_(min=0)
    height = (
        torch.minimum(a[:, None, 3], b[None, :, 3]) - torch.maximum(a[:, None, 1], b[None, :, 1])
    ).clamp_(min=0)
    intersection = width.mul_(height)
    union = area(a)[:, None] + area(b)[None] - intersection
    return torch.where(intersection > 0, intersection / union, 0.0)


def area(boxes: Tensor) -> Tensor:
    """Areas ``[N]`` of boxes ``[N, 4]``."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def delta_loss(predicted: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """The sum of smooth L1 over deltas ``[N, 4]``; plain L1 if ``beta`` is 0."""
    return F.smooth_l1_loss(predicted, wanted, beta=beta, reduction="sum")
