"""Pools features of regions, each from the pyramid level that matches its size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .boxes import area
from .ops.roi_align import roi_align


def assign_levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """The index in ``strides`` of the level for each box ``[N, 4]``, int64 ``[N]``: a box of 224×224 goes
    to stride 16 (equation 1 of FPN).
    """
    lowest, highest = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
    levels = torch.floor(4 + torch.log2(torch.sqrt(area(boxes)) / 224 + 1e-8))
    return levels.clamp(lowest, highest).to(torch.int64) - lowest


def pool_regions(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    *,
    output_size: int,
    strides: Sequence[int],
    gathers: bool = True,
) -> Tensor:
    """RoIAlign (aligned, with as many samples per bin as it has cells) over the levels of a pyramid.

    Args:
        features: ``[B, C, H, W]`` per level.
        boxes: float32 ``[N, 4]`` per image, in pixels of the network's input.
        output_size: height and width of a region's features.
        strides: input pixels per cell, for each level; powers of two.
        gathers: whether to pool by gather on a CPU, or with torchvision's operator.

    Returns:
        ``[sum of N, C, output_size, output_size]`` in the features' dtype, image by image.
    """
    image = torch.repeat_interleave(torch.arange(len(boxes)), torch.tensor([len(b) for b in boxes])).to(
        features[0].device, non_blocking=True
    )
    flat = torch.cat(list(boxes))
    rois = torch.cat([image[:, None].to(flat.dtype), flat], dim=1)
    return roi_align(features, rois, assign_levels(flat, strides), strides, output_size, gathers=gathers)
