"""3×3 convolutions by Winograd's minimal filtering (Lavin and Gray, "Fast algorithms for convolutional neural
networks", 2016).

F(4×4, 3×3) needs 36 multiplications instead of 144 for the plain sum. Here it runs in fp32 on the CPU, as
matrix products only: both transforms are products with a small constant matrix. So the gradients of input and
weight gain as much as the forward pass. Tiles are processed a few at a time, so that intermediate results
stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

TILE = 4
"""Outputs along each side of a tile."""

PATCH = TILE + 2
"""The inputs that they depend on."""

_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""The points at which polynomials are interpolated, besides infinity. The rounding error is a quarter of that
of the usual points 0, ±1, ±2 (Alam et al., "Winograd convolution for deep neural networks: efficient point
selection", 2022).
"""

_CHUNK = 20_000  # tiles × channels processed at once: a few megabytes when transformed
_WEIGHT_CHUNK = (
    80_000  # the same for the gradient of the weight, which is summed over the chunks: fewer, larger ones
)


class _Transforms(NamedTuple):
    """Matrices that transform flattened patches of the input, kernels, and products back to tiles of the
    output.
    """

    patch: Tensor  # [36, 36]
    kernel: Tensor  # [36, 9]
    tile: Tensor  # [16, 36]


class _Chunk(NamedTuple):
    """Tiles processed together: ``rows`` rows of tiles from row ``top`` on, of some images."""

    images: slice
    top: int
    rows: int


@cache
def transforms() -> _Transforms:
    """The three matrices, in float32."""

    def powers(columns: int) -> Tensor:
        rows = [[point**power for power in range(columns)] for point in _POINTS]
        at_infinity = [0.0] * (columns - 1) + [1.0]
        return torch.tensor([*rows, at_infinity], dtype=torch.float64)

    one_dimensional = torch.linalg.inv(powers(PATCH)).T, powers(3), powers(TILE).T
    return _Transforms(*(torch.kron(matrix, matrix).float() for matrix in one_dimensional))


def is_faster(x: Tensor, weight: Tensor) -> bool:
    """Whether ``conv3x3`` is faster than ``F.conv2d`` for this input and weight: fp32 on a CPU, many
    channels, large maps.
    """
    if not (x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32) or torch.is_autocast_enabled(
        "cpu"
    ):
        return False
    outputs, channels = weight.shape[:2]
    tiles = len(x) * -(-x.shape[2] // TILE) * -(-x.shape[3] // TILE)
    return min(outputs, channels) >= 96 and tiles >= 192


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=1)`` within rounding, differentiable once.

    Args:
        x: float32 ``[N, C, H, W]`` on the CPU, best in channels-last order.
        weight: float32 ``[O, C, 3, 3]``.
        bias: float32 ``[O]``, or None.

    Returns:
        float32 ``[N, O, H, W]`` in channels-last order.
    """
    y: Tensor = _Conv3x3.apply(x, weight, weight.new_zeros(len(weight)) if bias is None else bias)
    return y


class _Conv3x3(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, kernel_of(weight), bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        x_needed, weight_needed, bias_needed = ctx.needs_input_grad
        return (
            _convolve(grad, kernel_of(weight, adjoint=True), grad.new_zeros(x.shape[1]))
            if x_needed
            else None,
            _weight_gradient(x, grad) if weight_needed else None,
            grad.sum((0, 2, 3)) if bias_needed else None,
        )


def kernel_of(weight: Tensor, *, adjoint: bool = False) -> Tensor:
    """The transformed kernel ``[36, C, O]`` of a weight ``[O, C, 3, 3]``; for the adjoint convolution,
    ``[36, O, C]``.
    """
    transform = transforms().kernel
    if adjoint:  # rotated by 180°, with inputs and outputs swapped
        return (transform.flip(1) @ weight.reshape(-1, 9).T).view(-1, *weight.shape[:2])
    ordered = weight.transpose(0, 1)
    return (transform @ ordered.reshape(-1, 9).T).view(-1, *ordered.shape[:2])


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    _, channels, outputs = kernel.shape
    y = torch.empty(len(x), outputs, *x.shape[2:], memory_format=torch.channels_last)
    for chunk in _chunks(x.shape, _CHUNK):
        patches = (transforms().patch @ _gather(x, chunk, PATCH)).view(len(kernel), -1, channels)
        tiles = transforms().tile @ torch.bmm(patches, kernel).view(len(kernel), -1)
        _scatter(tiles, bias, y, chunk)
    return y


def _weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """The sum over all tiles of transformed patch times back-transformed gradient, transformed back to
    3×3.
    """
    matrices, channels, outputs = transforms(), x.shape[1], grad.shape[1]
    total = x.new_zeros(PATCH**2, channels, outputs)
    for chunk in _chunks(x.shape, _WEIGHT_CHUNK):
        patches = (matrices.patch @ _gather(x, chunk, PATCH)).view(len(total), -1, channels)
        products = (matrices.tile.T @ _gather(grad, chunk, TILE)).view(len(total), -1, outputs)
        total.baddbmm_(patches.transpose(1, 2), products)
    return (matrices.kernel.T @ total.view(len(total), -1)).view(3, 3, channels, outputs).permute(3, 2, 0, 1)


def _chunks(shape: torch.Size, size: int) -> Iterator[_Chunk]:
    """Cut a ``[N, C, H, W]`` batch into chunks: some rows of tiles of an image, or several whole images if
    they are small.
    """
    number, channels, height, width = shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    images = max(size // (rows * columns * channels), 1)
    step = max(min(size // (columns * channels), rows), 1)
    for first in range(0, number, images):
        for top in range(0, rows, step):
            yield _Chunk(slice(first, min(first + images, number)), top, min(step, rows - top))


def _gather(x: Tensor, chunk: _Chunk, side: int) -> Tensor:
    """Patches of ``side`` × ``side`` pixels around each tile, zeros outside the images:
    ``[side², tiles · channels]``.
    """
    images = x[chunk.images].permute(0, 2, 3, 1)
    number, height, width, channels = images.shape
    columns, margin = -(-width // TILE), (side - TILE) // 2
    top, rows = chunk.top * TILE - margin, chunk.rows * TILE + 2 * margin
    first, last = max(-top, 0), min(height - top, rows)
    padded = x.new_empty(number, rows, columns * TILE + 2 * margin, channels)
    for outside in (
        padded[:, :first],
        padded[:, last:],
        padded[:, :, :margin],
        padded[:, :, margin + width :],
    ):
        outside.zero_()
    padded[:, first:last, margin : margin + width] = images[:, top + first : top + last]
    n, row, column, _ = padded.stride()
    shape = (side, side, number, chunk.rows, columns, channels)
    return padded.as_strided(shape, (row, column, n, row * TILE, column * TILE, 1)).reshape(side**2, -1)


def _scatter(tiles: Tensor, bias: Tensor, y: Tensor, chunk: _Chunk) -> None:
    """Write ``[16, tiles · channels]`` plus bias into ``y`` ``[N, C, H, W]``, without parts outside it."""
    images = y.permute(0, 2, 3, 1)[chunk.images, chunk.top * TILE : (chunk.top + chunk.rows) * TILE]
    number, height, width, channels = images.shape
    ordered = tiles.view(TILE, TILE, number, chunk.rows, -1, channels).permute(2, 3, 0, 4, 1, 5)
    if height % TILE == width % TILE == 0:
        torch.add(ordered, bias, out=images.view(ordered.shape))
    else:
        torch.add(
            ordered.reshape(number, chunk.rows * TILE, -1, channels)[:, :height, :width], bias, out=images
        )
