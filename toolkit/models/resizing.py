"""Changes the size of images and logits: pads, downscales, and maps back to the original grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Sample, Size

Padding: TypeAlias = Literal["replicate", "reflect"]


def in_grid(raw: Tensor, padded: Size, working: Size, size: Size) -> Tensor:
    """Map logits ``[B, C, h, w]`` of images that had the size ``working`` before padding to ``padded`` back
    to the grid of the original ``size``.
    """
    return upsampled(upsampled(raw, padded)[:, :, : working[0], : working[1]], size)


def enlarged(images: Tensor, size: Size) -> Tensor:
    """Normalized images at the upper left of larger ones; the rest is 0, the mean color."""
    height, width = images.shape[2:]
    if (height, width) == size:
        return images
    larger = F.pad(images, (0, size[1] - width, 0, size[0] - height))
    return larger.contiguous(memory_format=torch.channels_last)


def pad(images: Tensor, rows: tuple[int, int], columns: tuple[int, int], padding: Padding) -> Tensor:
    """Pad images ``[B, C, H, W]`` by any number of rows (above, below) and columns (left, right), even beyond
    their own size.
    """
    for dim, (before, after) in ((2, rows), (3, columns)):
        if before or after:
            index = torch.arange(-before, images.shape[dim] + after, device=images.device)
            images = images.index_select(dim, _inside(index, images.shape[dim], padding))
    return images


def _inside(index: Tensor, length: int, padding: Padding) -> Tensor:
    """Map indexes outside ``0 … length - 1`` to valid ones. Repeated reflection is periodic."""
    last = length - 1
    if padding == "replicate":
        return index.clamp(0, last)
    # a single pixel has a period of 1; without a branch, so that a trace is right for any length
    period = 2 * last + (last == 0)
    return last - (index % period - last).abs()


def multiple(size: Size, divisor: int) -> Size:
    """The smallest multiples of ``divisor`` that are not smaller than the sides."""
    return -(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor


def shrunk(images: Tensor, size: Size) -> Tensor:
    """Images ``[B, 3, H, W]``, uint8 or float, resized to ``size`` with antialiasing."""
    if tuple(images.shape[2:]) == size:
        return images
    if not images.is_floating_point() and images.device.type != "cpu":  # torch resizes bytes only on the CPU
        return shrunk(images.float(), size)
    return F.interpolate(images, size, mode="bilinear", antialias=True)


def upsampled(logits: Tensor, size: Size) -> Tensor:
    """Logits ``[B, C, h, w]`` interpolated bilinearly to ``size``."""
    if tuple(logits.shape[2:]) == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def groups_by_size(samples: Sequence[Sample]) -> Iterator[tuple[list[int], Tensor]]:
    """The images of each size, stacked to uint8 ``[B, 3, H, W]``, with their positions."""
    positions: dict[Size, list[int]] = {}
    for i, sample in enumerate(samples):
        positions.setdefault(sample.size, []).append(i)
    for group in positions.values():
        yield group, torch.stack([samples[i].image for i in group])


def working_size(size: Size, long_side: int | None) -> Size:
    """The size at which a network sees an image whose longer side becomes at most ``long_side``, before
    padding.
    """
    longest = max(size)
    if long_side is None or longest <= long_side:
        return size
    height, width = (max(1, round(n * long_side / longest)) for n in size)
    return height, width
