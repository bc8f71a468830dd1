"""Convolutions fused with the operations after them: a norm folded into the weight, a residual, a ReLU; with
Winograd's algorithm where that is faster.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toolkit.models.derived import derived, forget, needs_gradient
from toolkit.models.strided import conv2d

from . import winograd, winograd_graph


class Norm(Protocol):
    """A batch norm with constant statistics: frozen, or in eval mode. Tensors ``[O]``."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps: float


def convolve(
    x: Tensor,
    conv: nn.Conv2d,
    norm: Norm | None = None,
    *,
    residual: Tensor | None = None,
    relu: bool = False,
    fuses: bool = True,
    by_winograd: bool = True,
) -> Tensor:
    """``relu(norm(conv(x)) + residual)`` in as few passes over memory as possible.

    Args:
        x: ``[B, C, H, W]``; on a CPU, channels-last memory is fastest.
        conv: its weight, bias, stride and so on are used; its ``forward`` is not called.
        norm: constant statistics and affine parameters, or None.
        residual: a tensor of the output's shape, or None. It is not modified.
        relu: whether negative values become 0.
        fuses: whether oneDNN's fused convolutions may be used.
        by_winograd: whether Winograd's algorithm may be used.
    """
    if _traces():
        if _is_plain_3x3(conv) and winograd_graph.is_wanted(x, conv.weight):
            # those that a pyramid ends with have no ReLU
            y = winograd_graph.conv3x3(x, *fold(conv, norm), pooled=not relu)
        else:
            y = _plain(x, conv, norm)
        y = y if residual is None else y + residual
        return F.relu(y) if relu else y
    sources = _sources(conv, norm)
    trains = needs_gradient(x, residual, *sources)
    if trains:
        # what follows need not change the version counters: fused optimizers and batch norm do not
        forget(conv)
        if isinstance(norm, nn.Module):
            forget(norm)
    if by_winograd and _is_plain_3x3(conv) and winograd.is_faster(x, conv.weight):
        y = winograd.conv3x3(x, *fold(conv, norm))
    elif fuses and not trains and _can_fuse(x, conv):
        dtype = _working_dtype(x)
        return derived(conv, sources, dtype, lambda: _pack(conv, norm, x.shape, dtype))(x, residual, relu)
    else:
        y = _plain(x, conv, norm)
    if residual is not None:
        y += residual
    return F.relu_(y) if relu else y


def fold(conv: nn.Conv2d, norm: Norm | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of the single convolution that is equivalent to a convolution and a norm with constant
    statistics; differentiable.
    """
    if norm is None:
        return conv.weight, conv.bias
    scale, shift = _affine(norm)
    return conv.weight * scale[:, None, None, None], shift if conv.bias is None else shift + conv.bias * scale


def _affine(norm: Norm) -> tuple[Tensor, Tensor]:
    """What a norm multiplies by and adds, each ``[O]``; computed once where it is not trained, because for a
    GPU these four small operations take as long to start as large ones.
    """

    def compute() -> tuple[Tensor, Tensor]:
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return scale, norm.bias - norm.running_mean * scale

    sources = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    if not isinstance(norm, nn.Module) or needs_gradient(*sources) or _traces():
        return compute()
    return derived(norm, sources, None, compute)


def _traces() -> bool:
    """Whether a tool counts operations, exports or compiles, which needs standard operators."""
    return bool(torch.jit.is_tracing() or torch.compiler.is_compiling())  # type: ignore[attr-defined,no-untyped-call]


def _plain(x: Tensor, conv: nn.Conv2d, norm: Norm | None) -> Tensor:
    weight, bias = fold(conv, norm)
    if conv.kernel_size == (1, 1):
        # so that the gradient has the strides of the weight, even if they do not matter: DDP compares them
        weight = weight.flatten(1)[:, :, None, None]
    return conv2d(x, conv, weight, bias)


def _sources(conv: nn.Conv2d, norm: Norm | None) -> list[Tensor]:
    tensors = [conv.weight, conv.bias]
    if norm is not None:
        tensors += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    return [tensor for tensor in tensors if tensor is not None]


def _is_plain_3x3(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (3, 3)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.groups == 1
    )


# --- oneDNN's fused convolutions, as torch's compiler uses them ---


class _Packed(NamedTuple):
    """A convolution with a weight in the processor's preferred layout."""

    dtype: torch.dtype
    weight: Tensor  # opaque
    bias: Tensor | None
    geometry: tuple[list[int], list[int], list[int], int]  # padding, stride, dilation, groups

    def __call__(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        x = x.to(self.dtype)
        convolution = torch.ops.mkldnn._convolution_pointwise
        after = "relu" if relu else "none"
        y: Tensor
        if residual is None:
            y = convolution(x, self.weight, self.bias, *self.geometry, after, [], "")
        else:
            residual = residual.to(self.dtype)
            y = convolution.binary(
                x,
                residual,
                self.weight,
                self.bias,
                *self.geometry,
                "add",
                1.0,
                after if relu else None,
                [],
                None,
            )
        return y


def _pack(conv: nn.Conv2d, norm: Norm | None, shape: torch.Size, dtype: torch.dtype) -> _Packed:
    """Pack for inputs ``[B, C, H, W]`` of about this shape; others work too."""
    weight, bias = fold(conv, norm)
    geometry = [int(n) for n in conv.padding], list(conv.stride), list(conv.dilation), conv.groups
    weight = torch.ops.mkldnn._reorder_convolution_weight(weight.to(dtype), *geometry, list(shape))
    return _Packed(dtype, weight, None if bias is None else bias.to(dtype), geometry)


def _working_dtype(x: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def _can_fuse(x: Tensor, conv: nn.Conv2d) -> bool:
    if (
        x.device.type != "cpu"
        or not x.numel()
        or conv.padding_mode != "zeros"
        or isinstance(conv.padding, str)
    ):
        return False
    return (x.dtype == conv.weight.dtype or torch.is_autocast_enabled("cpu")) and _works(_working_dtype(x))


@cache
def _works(dtype: torch.dtype) -> bool:
    """Whether torch has these operators, which are not public, and they give the expected results here."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x = torch.linspace(-2, 2, 64, dtype=dtype).view(1, 16, 2, 2)
    conv = nn.utils.skip_init(nn.Conv2d, 16, 16, 1, bias=False)  # type: ignore[no-untyped-call]  # draws no random numbers, so that later ones do not change
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            conv.weight.copy_(torch.eye(16)[:, :, None, None])
            same = _pack(conv, None, x.shape, dtype)
            return torch.equal(same(x, x, relu=True), F.relu(x + x)) and torch.equal(
                same(x, None, relu=False), x
            )
    except (AttributeError, RuntimeError, TypeError):
        return False
