"""RoIAlign (He et al., https://arxiv.org/abs/1703.06870) on the CPU as a weighted gather of cells, several
times as fast as torchvision's operator.

The samples of a bin are averaged after bilinear interpolation, which is linear in the features: a bin is a
weighted sum of the few cells around it. With the channels of a cell next to each other in memory,
``F.embedding_bag`` computes these sums. The gradient is the transposed sum: for each cell, over the bins that
it contributes to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

_MAX_TERMS = (
    1 << 21
)  # cells gathered at once; indexes and weights of one batch of them take some tens of megabytes


def roi_align(
    features: Sequence[Tensor],
    rois: Tensor,
    levels: Tensor,
    strides: Sequence[int],
    output_size: int,
    *,
    gathers: bool = True,
) -> Tensor:
    """Pool each region from its level: aligned, with as many samples per bin as it spans cells, as in
    Detectron2.

    Args:
        features: ``[B, C, H, W]`` per level; channels-last memory is fastest.
        rois: float32 ``[R, 5]``: image, then x0, y0, x1, y1 in pixels of the network's input.
        levels: int64 ``[R]``, indexes into ``features``.
        strides: input pixels per cell, for each level.
        output_size: bins along each side of a region.
        gathers: whether to pool by gather on a CPU; otherwise torchvision's operator is used.

    Returns:
        ``[R, C, output_size, output_size]`` in the features' dtype; by gather in channels-last order.
    """
    if gathers and features[0].device.type == "cpu":
        pooled: Tensor = _RoIAlign.apply(rois, levels, tuple(strides), output_size, *features)
        return pooled
    # by level, then back into their order: a GPU is waited for only once, for the counts
    order = torch.argsort(levels, stable=True)
    counts = torch.stack([(levels == level).sum() for level in range(len(features))]).cpu().tolist()
    pooled = torch.cat(
        [
            # torchvision's kernel for bfloat16 is missing on some devices
            torchvision.ops.roi_align(
                cells.float(), regions, output_size, 1 / stride, sampling_ratio=0, aligned=True
            ).to(cells.dtype)
            for cells, regions, stride in zip(
                features, torch.split(rois[order], counts), strides, strict=True
            )
        ]
    )
    return pooled.index_select(0, torch.argsort(order))


class _Sums(NamedTuple):
    """Weighted sums of a level's cells: number ``i`` is ``weights[i] @ cells[indexes[i]]`` and goes to bin
    ``rows[i]``.
    """

    level: int
    rows: Tensor  # int32 [S]
    indexes: Tensor  # int32 [S, K]
    weights: Tensor  # float32 [S, K]


class _RoIAlign(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rois: Tensor, levels: Tensor, strides: tuple[int, ...], output_size: int, *features: Tensor
    ) -> Tensor:
        ctx.save_for_backward(rois, levels)
        ctx.strides, ctx.output_size, ctx.shapes = strides, output_size, [level.shape for level in features]
        channels, dtype = features[0].shape[1], features[0].dtype
        pooled = torch.empty(
            len(rois), channels, output_size, output_size, dtype=dtype, memory_format=torch.channels_last
        )
        bins = pooled.permute(0, 2, 3, 1).view(-1, channels)
        flat = [level.permute(0, 2, 3, 1).reshape(-1, channels) for level in features]
        for sums in _sums(rois, levels, strides, output_size, ctx.shapes):
            weights = sums.weights.to(dtype)
            bins[sums.rows] = F.embedding_bag(
                sums.indexes, flat[sums.level], per_sample_weights=weights, mode="sum"
            )
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rois, levels = ctx.saved_tensors
        bins = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
        cells = [
            grad.new_zeros(batch * height * width, channels) for batch, channels, height, width in ctx.shapes
        ]
        waiting: list[_Sums] = []
        for sums in _sums(rois, levels, ctx.strides, ctx.output_size, ctx.shapes):
            waiting.append(sums)
            if sum(s.indexes.numel() for s in waiting) > _MAX_TERMS:
                _add_transposed(cells, bins, waiting)
                waiting = []
        _add_transposed(cells, bins, waiting)
        gradients = [
            c.view(b, h, w, -1).permute(0, 3, 1, 2) for c, (b, _, h, w) in zip(cells, ctx.shapes, strict=True)
        ]
        return (None, None, None, None, *gradients)


def _add_transposed(cells: Sequence[Tensor], bins: Tensor, sums: Sequence[_Sums]) -> None:
    """Add to each cell, ``[N, C]`` per level, its share of the bins ``[R, C]``: sums again, over the terms
    sorted by cell, so that no two threads write to the same one."""
    for level, target in enumerate(cells):
        mine = [s for s in sums if s.level == level]
        if not mine:
            continue
        index, order = torch.sort(torch.cat([s.indexes.flatten() for s in mine]))
        rows = torch.cat([s.rows[:, None].expand_as(s.indexes).flatten() for s in mine])[order]
        weights = torch.cat([s.weights.flatten() for s in mine])[order].to(bins.dtype)
        index, counts = torch.unique_consecutive(index, return_counts=True)
        offsets = (counts.cumsum(0) - counts).int()
        target.index_add_(
            0, index, F.embedding_bag(rows, bins, offsets, per_sample_weights=weights, mode="sum")
        )


def _sums(
    rois: Tensor, levels: Tensor, strides: Sequence[int], bins: int, shapes: Sequence[torch.Size]
) -> Iterator[_Sums]:
    """The sums of all regions, in batches whose bins have equally many samples along each side."""
    scale = torch.tensor([1 / stride for stride in strides])[levels, None]
    height, width = (
        torch.tensor([shape[side] for shape in shapes], dtype=torch.int32)[levels] for side in (2, 3)
    )
    image = rois[:, 0].int()
    start = rois[:, 1:3] * scale - 0.5
    extent = rois[:, 3:] * scale - 0.5 - start
    samples = torch.ceil(extent / bins).clamp(0, 1 << 30).long()  # x and y; 0 if a box is inverted
    largest = [max(shape[side] for shape in shapes) for side in (3, 2)]
    for count in torch.unique(samples, dim=0):
        same = torch.nonzero((samples == count).all(dim=1)).squeeze(1)
        same = same[torch.sort(levels[same], stable=True).indices]
        samples_x, samples_y = count.tolist()
        taps_x, taps_y = (min(n + 1, cells) for n, cells in zip((samples_x, samples_y), largest, strict=True))
        terms = bins * max(bins * taps_x * taps_y, samples_x, samples_y)
        for part in torch.split(same, max(_MAX_TERMS // terms, 1)):
            x, weight_x = _axis(start[part, 0], extent[part, 0], bins, width[part], samples_x, taps_x)
            y, weight_y = _axis(start[part, 1], extent[part, 1], bins, height[part], samples_y, taps_y)
            y = (y + (image * height)[part, None, None]) * width[part, None, None]
            indexes = (y[:, :, None, :, None] + x[:, None, :, None, :]).flatten(3)
            weights = (weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]).flatten(3)
            rows = part[:, None].int() * bins**2 + torch.arange(bins**2, dtype=torch.int32)
            first = 0
            for level, number in enumerate(torch.bincount(levels[part]).tolist()):
                of_level = slice(first, first + number)
                first += number
                if number:
                    yield _Sums(
                        level,
                        rows[of_level].flatten(),
                        indexes[of_level].flatten(0, 2),
                        weights[of_level].flatten(0, 2),
                    )


def _axis(
    start: Tensor, extent: Tensor, bins: int, cells: Tensor, samples: int, taps: int
) -> tuple[Tensor, Tensor]:
    """The cells that contribute to each bin along one axis, and their weights: int32 and float32
    ``[R, bins, taps]``.

    Samples lie less than a cell apart, so their neighbors are at most ``samples + 1`` cells in a row.
    """
    last = (cells - 1)[:, None, None]
    size = extent[:, None, None] / bins
    at = (
        start[:, None, None]
        + torch.arange(bins)[:, None] * size
        + (torch.arange(samples) + 0.5) * size / max(samples, 1)
    )
    inside = (at >= -1) & (at <= last + 1)
    at = torch.minimum(at.clamp_(min=0), last)
    low = at.int()
    share = at - low
    first = low[:, :, :1] if samples else low.new_zeros(len(start), bins, 1)
    first = torch.minimum(first, (last + 1 - taps).clamp(min=0))
    weights = at.new_zeros(len(start), bins, taps)
    for neighbor, weight in ((low, 1 - share), (torch.minimum(low + 1, last), share)):
        weights.scatter_add_(2, (neighbor - first).long(), weight * inside / samples)
    return torch.minimum(first + torch.arange(taps, dtype=torch.int32), last), weights
