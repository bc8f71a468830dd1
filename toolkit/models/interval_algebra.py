"""The effect of torch's operators on intervals; this is the engine of ``toolkit.models.receptive_field``.

A value ``v >= NOTHING_BELOW`` is one end of an interval, anything smaller depends on no pixels: weights, zero
padding, constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from toolkit.errors import UsageError

NOTHING_BELOW = float(2**20)
"""Ends of intervals start here; with lengths of up to 2 ** 20 they are exact in float32."""

Rule: TypeAlias = Callable[..., Tensor]
Pad: TypeAlias = Callable[[Tensor, Sequence[int], Sequence[int]], Tensor]


class IntervalAlgebra(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this context, floating tensors on the CPU are ends of intervals, and torch's operators act
    on them as such.

    Outputs that depend on padding would depend on pixels outside the image, so their interval ends beyond the
    border: otherwise the outputs near the border, whose receptive field is cut off there, could not be
    distinguished from the others.

    Args:
        dim: the axis of features ``[2, C, H, W]`` that the intervals refer to, 2 or 3. The first half of the
            batch holds their first ends.
        length: length of the image along this axis.

    Raises:
        UsageError: at an operator that has no rule.
    """

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dim, self._outside = dim, NOTHING_BELOW + length

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the effect of ``func`` to intervals."""
        kwargs = kwargs or {}
        floating = [
            leaf
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor) and leaf.is_floating_point()
        ]
        name = func.overloadpacket.__name__
        if name in _RULES or name in _PADDING_RULES:
            values = _by_name(func, args, kwargs)
            result = _RULES[name](**values) if name in _RULES else _PADDING_RULES[name](self._pad, **values)
            others = [
                result.new_zeros(0) for _ in func._schema.returns[1:]
            ]  # a norm's statistics, which are not needed here
            return (result, *others) if others else result
        if not floating or func.is_view or name in _MOVES:
            return func(*args, **kwargs)
        if torch.Tag.pointwise in func.tags or name in _POINTWISE:
            return _pointwise(func, args, kwargs, floating)
        raise UsageError(f"the receptive field cannot be computed: the operator {func} is not supported")

    def _pad(self, x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
        """Pad (or, if negative, crop) the last axes."""
        padded = F.pad(x, [n for pair in reversed(list(zip(before, after, strict=True))) for n in pair])
        axis = self._dim - 4
        if x.dim() == 4 and -axis <= len(before):
            half = len(x) // 2
            padded[:half].narrow(axis, 0, max(0, before[axis])).fill_(self._outside)
            rim = max(0, after[axis])
            padded[half:].narrow(axis, padded.shape[axis] - rim, rim).fill_(self._outside)
        return padded


def _by_name(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of an operator by name, including omitted ones."""
    schema = func._schema.arguments
    values = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    values |= {argument.name: value for argument, value in zip(schema, args, strict=False)} | kwargs
    renamed = {"self": "input", "pad": "pad_"}
    return {renamed.get(name, name): value for name, value in values.items()}


def _pointwise(func: Any, args: Sequence[Any], kwargs: dict[str, Any], floating: list[Tensor]) -> Any:
    """A result that depends on several values at one position depends on everything that they depend on."""
    if func._schema.is_mutable:
        return args[0].copy_(_united(floating))
    result = func(*args, **kwargs)
    if not result.is_floating_point():  # such as a comparison; it has no gradient
        return result
    return _united(floating).clone()  # later operators may work in place


def _united(tensors: Sequence[Tensor]) -> Tensor:
    united = tensors[0]
    for other in tensors[1:]:
        united = torch.maximum(united, other)
    return united


def _convolution(
    pad: Pad,
    input: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    bias: Tensor | None = None,
) -> Tensor:
    """The maximum over the window and over the channels of the group."""
    batch, _, *size = input.shape
    kernel = list(weight.shape[2:])
    x = input.reshape(batch, groups, -1, *size).amax(2)
    if transposed:  # a convolution of the input with zeros between its values
        spread = x.new_zeros(batch, groups, *((n - 1) * s + 1 for n, s in zip(size, stride, strict=True)))
        places: Any = (..., *(slice(None, None, s) for s in stride))
        spread[places] = x
        rims = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
        x = pad(spread, rims, [rim + extra for rim, extra in zip(rims, output_padding, strict=True)])
        stride, channels = [1] * len(size), weight.shape[1]
    else:
        x = pad(x, padding, padding)
        channels = weight.shape[0] // groups
    x = _MAX_POOLS[len(size)](x, kernel, stride, 0, dilation)
    return x.repeat_interleave(channels, dim=1)


def _average_pool(
    pad: Pad,
    input: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    **rest: object,
) -> Tensor:
    return _max_pool(pad, input, kernel_size, stride, padding, [1], ceil_mode)


def _max_pool(
    pad: Pad,
    input: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
) -> Tensor:
    count = len(kernel_size)
    rims = list(padding) * (count // len(padding))
    return _MAX_POOLS[count](
        pad(input, rims, rims), kernel_size, stride or kernel_size, 0, dilation, ceil_mode
    )


def _constant_pad(pad: Pad, input: Tensor, pad_: list[int], value: float) -> Tensor:
    return pad(input, pad_[-2::-2], pad_[::-2])


def _adaptive_pool(input: Tensor, output_size: list[int]) -> Tensor:
    pools: list[Rule] = [F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d]
    return pools[len(output_size) - 1](input, output_size)


def _interpolation(operator: Any) -> Rule:
    """Every output depends on the input pixels with a nonzero weight, the same in each row and each
    column.
    """

    def rule(
        input: Tensor,
        output_size: list[int],
        align_corners: bool,
        scales_h: float | None = None,
        scales_w: float | None = None,
    ) -> Tensor:
        for dim, length, scale in ((2, output_size[0], scales_h), (3, output_size[1], scales_w)):
            n = input.shape[dim]
            if length == n and scale in (None, 1.0):
                continue
            units = torch.eye(n)[None, :, :, None]
            weights = operator(units, [length, 1], align_corners, scale, None)[
                0, :, :, 0
            ].abs()  # [input, output]
            largest, taps = weights.topk(min(n, int((weights > 0).sum(0).max())), dim=0)  # [taps, output]
            taps = torch.where(largest > 0, taps, taps[:1])
            input = _united([input.index_select(dim, tap) for tap in taps])
        return input

    return rule


def _reduction(
    input: Tensor, dim: int | list[int] | None = None, keepdim: bool = False, **rest: object
) -> Tensor:
    return input.amax(dim=tuple(range(input.dim())) if dim is None or dim == [] else dim, keepdim=keepdim)


def _softmax(input: Tensor, dim: int, **rest: object) -> Tensor:
    return input.amax(dim, keepdim=True).expand_as(input).clone()


def _matrix_product(first: Tensor, second: Tensor) -> Tensor:
    """Every element of ``first @ second`` depends on a row of one and a column of the other."""
    return torch.maximum(first.amax(-1, keepdim=True), second.amax(-2, keepdim=True))


def _batch_norm(input: Tensor, **rest: object) -> Tensor:
    return input.clone()


def _layer_norm(input: Tensor, normalized_shape: list[int], **rest: object) -> Tensor:
    """Over the channels of channels-last features; over more axes, it uses statistics of the image, which are
    left out.
    """
    return _softmax(input, -1) if len(normalized_shape) == 1 else input.clone()


def _group_norm(input: Tensor, N: int, C: int, group: int, **rest: object) -> Tensor:  # noqa: N803 - the operator's names
    return _softmax(input.reshape(N, group, C // group, -1), 2).reshape(input.shape)


_MAX_POOLS: dict[int, Rule] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("adaptive_avg_pool1d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"), _adaptive_pool),
    **{
        name: _interpolation(getattr(torch.ops.aten, name).default)
        for name in (
            "upsample_bilinear2d",
            "upsample_bicubic2d",
            "_upsample_bilinear2d_aa",
            "_upsample_bicubic2d_aa",
        )
    },
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "var", "std", "linalg_vector_norm", "norm", "logsumexp"), _reduction
    ),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), _softmax),
    "mm": lambda input, mat2: _matrix_product(input, mat2),
    "bmm": lambda input, mat2: _matrix_product(input, mat2),
    "addmm": lambda input, mat1, mat2, **rest: torch.maximum(input, _matrix_product(mat1, mat2)),
    "baddbmm": lambda input, batch1, batch2, **rest: torch.maximum(input, _matrix_product(batch1, batch2)),
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit"), _batch_norm
    ),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
}

_PADDING_RULES: dict[str, Rule] = {
    "convolution": _convolution,
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _average_pool),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), _max_pool),
    "constant_pad_nd": _constant_pad,
}

_MOVES = frozenset(
    [
        "_reshape_alias",
        "_to_copy",
        "_unsafe_view",
        "cat",
        "channel_shuffle",
        "clone",
        "copy",
        "copy_",
        "empty_like",
        "expand_copy",
        "fill",
        "fill_",
        "flip",
        "full_like",
        "gather",
        "im2col",
        "index",
        "index_put",
        "index_put_",
        "index_select",
        "lift_fresh",
        "masked_select",
        "max",
        "native_channel_shuffle",
        "new_empty",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "pixel_shuffle",
        "pixel_unshuffle",
        "rand_like",
        "reflection_pad1d",
        "reflection_pad2d",
        "repeat",
        "repeat_interleave",
        "replication_pad1d",
        "replication_pad2d",
        "roll",
        "scatter",
        "select_scatter",
        "slice_scatter",
        "stack",
        "tril",
        "triu",
        "zero_",
        "zeros_like",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "_upsample_nearest_exact1d",
        "_upsample_nearest_exact2d",
    ]
)
"""Operators that only move values, create constants, or take a maximum anyway."""

_POINTWISE = frozenset(
    [
        "_prelu_kernel",
        "dropout",
        "elu_",
        "gelu_",
        "hardsigmoid_",
        "hardswish",
        "hardswish_",
        "hardtanh_",
        "leaky_relu_",
        "mish_",
        "silu_",
    ]
)
"""Elementwise operators that are not tagged as such in every version of torch."""
