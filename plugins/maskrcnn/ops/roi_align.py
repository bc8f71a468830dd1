"""RoIAlign (He et al., https://arxiv.org/abs/1703.06870) on the CPU as a weighted gather of cells, several times as fast as torchvision's.

The samples of a bin are averaged after bilinear interpolation, which is linear in the features: a bin is a weighted sum of the few cells
around it. With the channels of a cell next to each other in memory, ``F.embedding_bag`` makes these sums. The gradient is the transposed
sum: for each cell, over the bins that it took part in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

_MAX_TERMS = 1 << 21  # cells gathered at once; indexes and weights of one batch of them take some tens of megabytes


def roi_align(features: Sequence[Tensor], rois: Tensor, levels: Tensor, strides: Sequence[int], output_size: int) -> Tensor:
    """Pool each region from its level: aligned, with as many samples a bin as it spans cells, as in Detectron2.

    Args:
        features: ``[B, C, H, W]`` a level, in channels-last order if it is to be fast.
        rois: float32 ``[R, 5]``: image, then x0, y0, x1, y1 in pixels of the network's input.
        levels: int64 ``[R]``, positions in ``features``.
        strides: input pixels a cell, for each level.
        output_size: bins along each side of a region.

    Returns:
        ``[R, C, output_size, output_size]`` in the features' dtype; on the CPU in channels-last order.
    """
    if features[0].device.type == "cpu":
        pooled: Tensor = _RoIAlign.apply(rois, levels, tuple(strides), output_size, *features)
        return pooled
    pooled = features[0].new_zeros(len(rois), features[0].shape[1], output_size, output_size)
    for level, (cells, stride) in enumerate(zip(features, strides, strict=True)):
        positions = torch.nonzero(levels == level).squeeze(1)
        # torchvision's kernel for bfloat16 is missing on some devices
        regions = torchvision.ops.roi_align(cells.float(), rois[positions], output_size, 1 / stride, sampling_ratio=0, aligned=True)
        pooled = pooled.index_put((positions,), regions.to(cells.dtype))
    return pooled


class _Sums(NamedTuple):
    """Weighted sums of cells: sum ``i`` is ``weights[i] @ cells[indexes[i]]`` and goes to row ``rows[i]``."""

    rows: Tensor  # int64 [S]
    indexes: Tensor  # int32 [S, K]
    weights: Tensor  # float32 [S, K]


class _RoIAlign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rois: Tensor, levels: Tensor, strides: tuple[int, ...], output_size: int, *features: Tensor) -> Tensor:
        ctx.save_for_backward(rois, levels)
        ctx.strides, ctx.output_size, ctx.shapes = strides, output_size, [level.shape for level in features]
        channels = features[0].shape[1]
        pooled = torch.empty(len(rois), channels, output_size, output_size, dtype=features[0].dtype, memory_format=torch.channels_last)
        bins = pooled.permute(0, 2, 3, 1).view(-1, channels)
        for level, (cells, stride) in enumerate(zip(features, strides, strict=True)):
            flat = cells.permute(0, 2, 3, 1).reshape(-1, channels)
            for sums in _sums(rois, levels == level, stride, output_size, cells.shape):
                weights = sums.weights.to(flat.dtype)
                bins[sums.rows] = F.embedding_bag(sums.indexes, flat, per_sample_weights=weights, mode="sum")
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rois, levels = ctx.saved_tensors
        bins = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
        gradients: list[Tensor | None] = []
        for level, (shape, stride) in enumerate(zip(ctx.shapes, ctx.strides, strict=True)):
            batch, channels, height, width = shape
            cells = grad.new_zeros(batch * height * width, channels)
            for sums in _sums(rois, levels == level, stride, ctx.output_size, shape):
                _add_transposed(cells, bins, sums)
            gradients.append(cells.view(batch, height, width, channels).permute(0, 3, 1, 2))
        return (None, None, None, None, *gradients)


def _add_transposed(cells: Tensor, bins: Tensor, sums: _Sums) -> None:
    """Add to each cell ``[N, C]`` its share of the bins ``[R, C]``: again sums, over the terms sorted by cell, and no two threads meet."""
    used = sums.weights != 0
    index, order = torch.sort(sums.indexes[used])
    index, counts = torch.unique_consecutive(index, return_counts=True)
    rows = sums.rows[:, None].expand_as(sums.indexes)[used][order]
    weights = sums.weights[used][order].to(bins.dtype)
    offsets = counts.cumsum(0) - counts
    cells[index.long()] += F.embedding_bag(rows, bins, offsets, per_sample_weights=weights, mode="sum")


def _sums(rois: Tensor, chosen: Tensor, stride: int, bins: int, shape: torch.Size) -> Iterator[_Sums]:
    """The sums for the chosen regions, in batches whose bins have equally many samples along each side."""
    _, _, height, width = shape
    positions = torch.nonzero(chosen).squeeze(1)
    image = rois[positions, 0].int()
    start = rois[positions, 1:3] * (1 / stride) - 0.5
    extent = rois[positions, 3:] * (1 / stride) - 0.5 - start
    samples = torch.ceil(extent / bins).clamp(0, 1 << 30).long()  # x and y; 0 where a box is inside out
    for count in torch.unique(samples, dim=0):
        samples_x, samples_y = count.tolist()
        same = torch.nonzero((samples == count).all(dim=1)).squeeze(1)
        step = max(_MAX_TERMS // (bins**2 * min(samples_x + 1, width) * min(samples_y + 1, height)), 1)
        for part in torch.split(same, step):
            x, weight_x = _axis(start[part, 0], extent[part, 0], bins, width, samples_x)
            y, weight_y = _axis(start[part, 1], extent[part, 1], bins, height, samples_y)
            y = y + image[part, None, None] * height
            indexes = y[:, :, None, :, None] * width + x[:, None, :, None, :]
            weights = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]
            rows = positions[part, None] * bins**2 + torch.arange(bins**2)
            yield _Sums(rows.flatten(), indexes.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2))


def _axis(start: Tensor, extent: Tensor, bins: int, cells: int, samples: int) -> tuple[Tensor, Tensor]:
    """The cells that each bin takes from along one axis, and with which weights: int32 and float32 ``[R, bins, K]``.

    Samples lie less than a cell apart, so their neighbours are at most ``samples + 1`` cells in a row.
    """
    size = extent[:, None, None] / bins
    at = start[:, None, None] + torch.arange(bins)[:, None] * size + (torch.arange(samples) + 0.5) * size / max(samples, 1)
    inside = (at >= -1) & (at <= cells)
    at = at.clamp(0, cells - 1)
    low = at.int()
    share = at - low
    first = low[:, :, :1] if samples else low.new_zeros(len(start), bins, 1)
    count = min(samples + 1, cells)
    first = first.clamp(max=cells - count)
    weights = at.new_zeros(len(start), bins, count)
    for neighbour, weight in ((low, 1 - share), ((low + 1).clamp(max=cells - 1), share)):
        weights.scatter_add_(2, (neighbour - first).long(), weight * inside / samples)
    return first + torch.arange(count, dtype=torch.int32), weights
