"""3×3 convolutions by Winograd's algorithm in a graph that is exported, for runtimes that do not have it.

OpenVINO computes them directly on CPUs. On large maps with many channels, the matrix products of
``toolkit.plugins.maskrcnn.ops.winograd``, written as operators of the graph, take 0.6 of that time in fp32;
in bf16, their rounding is too coarse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .winograd import PATCH, TILE, kernel_of, transforms

LEAST_CHANNELS, LEAST_PIXELS = 96, 14 * 14
"""Of a map in the example that a graph is traced with, for which it is faster."""

_wanted = ContextVar("wanted", default=False)


@contextmanager
def by_winograd() -> Iterator[None]:
    """Context manager in which graphs are traced with Winograd's algorithm, where it is faster."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def is_wanted(x: Tensor, weight: Tensor) -> bool:
    """Whether a graph that is being traced should have this convolution ``conv3x3``, rather than the
    operator.
    """
    if not _wanted.get():
        return False
    pixels = int(x.shape[2]) * int(x.shape[3])
    return min(weight.shape[:2]) >= LEAST_CHANNELS and pixels >= LEAST_PIXELS


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, pooled: bool = False) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=1)`` within rounding, in operators that can be traced for any size.

    Args:
        x: float32 ``[N, C, H, W]``; any of ``N``, ``H`` and ``W`` may be dynamic.
        weight: float32 ``[O, C, 3, 3]``.
        bias: float32 ``[O]``, or None.
        pooled: whether regions of the result are pooled.
    """
    outputs, channels = weight.shape[:2]
    count, height, width = x.shape[0], x.shape[2], x.shape[3]
    rows, columns = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    # one row and column before, and at least as many after as the last patch needs
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, PATCH - 1, 1, PATCH - 1))
    below, right = height + PATCH, width + PATCH
    place = torch.arange(PATCH)
    down = place[:, None] + TILE * torch.arange(rows)
    across = place[:, None] + TILE * torch.arange(columns)
    image = torch.arange(count) * (below * right)
    inside = down[:, None, None, :, None] * right + across[None, :, None, None, :]
    places = (inside + image[:, None, None]).reshape(-1)
    tiles = count * rows * columns
    patches = padded.reshape(count * below * right, channels)[places].reshape(PATCH**2, tiles * channels)
    transformed = (transforms().patch @ patches).reshape(PATCH**2, tiles, channels)
    products = (transformed @ kernel_of(weight)).reshape(PATCH**2, tiles * outputs)
    y = (transforms().tile @ products).reshape(TILE, TILE, count, rows, columns, outputs)
    y = y.permute(2, 3, 0, 4, 1, 5).reshape(count, rows * TILE, columns * TILE, outputs)
    y = y[:, :height, :width]
    if pooled:
        # The bias is added by a convolution: OpenVINO pools regions of its results ten times as fast.
        each = weight.new_ones((outputs, 1, 1, 1))
        return F.conv2d(y.permute(0, 3, 1, 2), each, bias, groups=outputs)
    return (y if bias is None else y + bias).permute(0, 3, 1, 2)
