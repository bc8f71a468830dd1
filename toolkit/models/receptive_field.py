"""The receptive field and the output stride of any network, computed by running it once in interval
arithmetic.

The textbook recursion ``r += (k - 1) * j; j *= s`` holds for chains of layers. Skip connections, pyramids and
attention branch, so here the network itself is run, with every operator replaced by its effect on
*intervals*: each value stands for the range of image columns that it depends on. An addition or a convolution
takes the union of its input intervals, global pooling takes the union of all, a ReLU or a norm leaves them
unchanged, and operators that move data (views, crops, concatenations, padding) move the intervals along. The
union of intervals is a maximum: with the image ``x -> (N - 1 - x, x)`` as a batch of two, the maxima of both
are the two ends of the interval. This is exact, needs no gradients that could vanish, and costs less than one
ordinary pass because no products are taken.

Two conventions: weights count as non-zero, and the statistics that a norm takes over the image (group and
instance norm) are left out.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from toolkit.errors import ToolkitError, UsageError
from toolkit.models.interval_algebra import NOTHING_BELOW, IntervalAlgebra

LONGEST = 8192
"""Receptive fields are computed up to this many pixels."""

_SHORTEST = 128
_STRIPS = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Field:
    """The receptive field of the outputs along one axis.

    Attributes:
        pixels: number of pixels that one output depends on, from the first to the last; the maximum where
            outputs differ, as after upsampling. None when each output depends on the whole image, of any
            size.
        stride: pixels of the image from one output to the next.
        at_least: whether the field is larger than ``pixels``, the limit of the computation.
    """

    pixels: int | None
    stride: float
    at_least: bool = False

    def __str__(self) -> str:
        return "the whole image" if self.pixels is None else f"{'at least ' * self.at_least}{self.pixels}"


def receptive_field(network: nn.Module, *, channels: int = 3, divisor: int = 1) -> tuple[Field, Field]:
    """The receptive field along the height and along the width.

    Args:
        network: takes images ``[B, channels, H, W]`` of any size divisible by ``divisor``, and returns
            ``[B, C, h, w]``; is not changed.
        channels: number of channels of the images.
        divisor: heights and widths that the network is tried on are multiples of this.

    Raises:
        UsageError: when the network has an unsupported operator, or fails on strips of the image; says which.
    """
    shadow = copy.deepcopy(network).cpu().float().eval()
    with torch.no_grad():
        for constant in (*shadow.parameters(), *shadow.buffers()):
            if constant.is_floating_point():
                constant.zero_()  # depends on no pixels
    try:
        return _along(shadow, 2, channels, divisor), _along(shadow, 3, channels, divisor)
    except ToolkitError:
        raise
    except Exception as error:  # a network may raise anything
        raise UsageError(
            "the receptive field cannot be computed: on a strip of an image the network fails with"
            f" {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True)
class _Measured:
    """The pixels that the outputs along one axis depend on, for an image of ``length`` pixels."""

    length: int
    outputs: int
    pixels: int  # the largest field of an output in the middle
    at_border: bool  # one of those reaches the first or the last pixel, so it may extend farther
    all_from_everywhere: bool  # even the first and the last output depend on everything


def _along(network: nn.Module, dim: int, channels: int, divisor: int) -> Field:
    """Increase the image size until the outputs in the middle do not reach the border."""
    strip, before = _thinnest(network, dim, channels, divisor)
    length = 2 * before.length
    while True:
        measured = _measure(network, dim, channels, length, strip)
        stride = (measured.length - before.length) / max(1, measured.outputs - before.outputs)
        stride = int(stride) if stride == int(stride) else stride
        is_longest = 2 * length > LONGEST
        # outputs differ by their position in the grid of the deepest features; the middle quarter of the
        # image contains all positions
        if not measured.at_border and (4 * measured.pixels <= length or is_longest):
            return Field(measured.pixels, stride)
        if is_longest:
            return (
                Field(None, stride)
                if measured.all_from_everywhere
                else Field(min(measured.pixels, length), stride, at_least=True)
            )
        seems_global = length >= 1024 and measured.all_from_everywhere
        length, before = (LONGEST // length * length if seems_global else 2 * length), measured


def _thinnest(network: nn.Module, dim: int, channels: int, divisor: int) -> tuple[int, _Measured]:
    """The thinnest strip on which the network works, and its result; a network without padding needs some
    height to have an output.
    """
    for strip in _STRIPS:
        strip, length = (-(-n // divisor) * divisor for n in (strip, max(strip, _SHORTEST)))
        try:
            measured = _measure(network, dim, channels, length, strip)
        except ToolkitError:
            raise
        except Exception:  # a network may raise anything
            if strip >= _STRIPS[-1]:
                raise
        else:
            break
    return strip, measured


def _measure(network: nn.Module, dim: int, channels: int, length: int, strip: int) -> _Measured:
    position = torch.arange(length, dtype=torch.float32)
    ends = torch.stack([length - 1 - position, position]) + NOTHING_BELOW
    shape = (2, channels, length, strip) if dim == 2 else (2, channels, strip, length)
    image = (ends[:, None, :, None] if dim == 2 else ends[:, None, None, :]).expand(shape).contiguous()
    # fused attention is one operator; plain attention consists of operators that are known
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), IntervalAlgebra(dim, length):
        logits = network(image)
    if not isinstance(logits, Tensor) or logits.dim() != 4 or not logits.numel():
        returned = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"expected logits [B, C, h, w], but it returned {returned}")
    reached = logits.amax(dim=(1, 5 - dim)) - NOTHING_BELOW  # [2, outputs]; rows of 2 and 3 swap
    first, last = length - 1 - reached[0], reached[1]
    spans = (last - first + 1).clamp(min=0)
    outputs = len(spans)
    middle = slice(outputs * 3 // 8, max(outputs * 5 // 8, outputs * 3 // 8 + 1))
    return _Measured(
        length,
        outputs,
        int(spans[middle].max()),
        bool(((first[middle] <= 0) | (last[middle] >= length - 1)).any()),
        bool(first[-1] <= 0 and last[0] >= length - 1),
    )
