"""Anchors: the boxes that proposals start from (Ren et al., https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Anchors centered at the origin, float32 ``[len(sizes) * len(aspect_ratios), 4]``; the area is size²,
    and height / width is the ratio.
    """
    anchors = []
    for size in sizes:
        for ratio in aspect_ratios:
            width = (size**2 / ratio) ** 0.5
            height = ratio * width
            anchors.append([-width / 2, -height / 2, width / 2, height / 2])
    return torch.tensor(anchors)


def grid_anchors(
    cells: Sequence[Tensor], features: Sequence[Tensor], strides: Sequence[int], offset: float
) -> list[Tensor]:
    """Anchors of each level, float32 ``[H * W * A, 4]`` in pixels of the network's input, by row, then
    column, then anchor of the cell.

    Args:
        cells: the ``cell_anchors`` of each level, ``[A, 4]`` on the features' device.
        features: ``[B, C, H, W]`` per level; only their sizes and device are used.
        strides: input pixels per cell, for each level.
        offset: position of the anchors in a cell, as a part of its side.
    """
    anchors = []
    for centered, level, stride in zip(cells, features, strides, strict=True):
        height, width = level.shape[-2:]
        x, y = (
            torch.arange(n, device=level.device, dtype=torch.float32) * stride + offset * stride
            for n in (width, height)
        )
        shift_y, shift_x = torch.meshgrid(y, x, indexing="ij")
        shifts = torch.stack([shift_x, shift_y, shift_x, shift_y], dim=-1).reshape(-1, 1, 4)
        anchors.append((shifts + centered).reshape(-1, 4))
    return anchors
