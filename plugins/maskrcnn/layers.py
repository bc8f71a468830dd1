"""A convolution with its norm and activation in one module, so that the weights have the same names as in
Detectron2 (``conv1.weight``, ``conv1.norm.weight``).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models.derived import forget
from toolkit.models.freezing import freeze

from .ops.convolution import Norm, convolve
from .settings import OperatorSettings


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine parameters are buffers and never change.

    Without start weights it is the identity. ``num_batches_tracked`` exists only if it was created from a
    batch norm.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor | None

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.full((channels,), 1 - eps))
        self.register_buffer("num_batches_tracked", None)

    @classmethod
    def of(cls, norm: nn.BatchNorm2d | nn.SyncBatchNorm) -> FrozenBatchNorm2d:
        """A frozen copy of a batch norm."""
        frozen = cls(norm.num_features, norm.eps)
        for name, value in norm.state_dict().items():
            setattr(frozen, name, value.clone())
        return frozen

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The equivalent affine map: scale and shift, two vectors ``[C]``."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same shape."""
        if not x.requires_grad:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        # F.batch_norm would keep its input for unneeded gradients
        scale, shift = (value.to(x.dtype)[:, None, None] for value in self.scale_and_shift())
        return x * scale + shift


def make_norm(name: str, channels: int) -> nn.Module | None:
    """A norm by its name in the settings; None for ``none``."""
    if name == "none":
        return None
    if name == "GN":
        return nn.GroupNorm(group_count(channels), channels)
    if name == "FrozenBN":
        return FrozenBatchNorm2d(channels)
    return nn.SyncBatchNorm(channels) if name == "SyncBN" else nn.BatchNorm2d(channels)


def group_count(channels: int) -> int:
    """32 groups, as in Detectron2; if the channels are not divisible by 32, the largest number of groups
    with at least four channels each.
    """
    if channels % 32 == 0:
        return 32
    return max(groups for groups in range(1, max(1, channels // 4) + 1) if channels % groups == 0)


class Conv2d(nn.Conv2d):
    """A convolution, optionally followed by a norm and a ReLU; without a bias if there is a norm.

    Attributes:
        operators: the operators used on a CPU.
    """

    operators = OperatorSettings()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        norm: str = "none",
        bias: bool | None = None,
        relu: bool = False,
    ) -> None:
        has_bias = norm == "none" if bias is None else bias
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=has_bias
        )
        self.norm = make_norm(norm, out_channels)
        self.relu = relu

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` to ``[B, out_channels, H / stride, W / stride]``; a residual of that shape is
        added before the ReLU.
        """
        fuses, by_winograd = self.operators.fused_convolution, self.operators.winograd
        if fuses and (self.norm is None or _is_constant(self.norm)):
            norm = cast("Norm | None", self.norm)
            return convolve(x, self, norm, residual=residual, relu=self.relu, by_winograd=by_winograd)
        if self.norm is not None:
            forget(self.norm)  # its statistics are about to change, without a change of version counters
        x = convolve(x, self, fuses=fuses, by_winograd=by_winograd)
        if self.norm is not None:
            x = self.norm(x)
        if residual is not None:
            x = x + residual
        return F.relu_(x) if self.relu else x


def _is_constant(norm: nn.Module) -> bool:
    """Whether a norm's statistics are constants, so that it can be folded into the convolution before it."""
    if isinstance(norm, nn.modules.batchnorm._BatchNorm):
        return not norm.training
    return isinstance(norm, FrozenBatchNorm2d)


def freeze_with_norms(module: nn.Module) -> None:
    """Freeze a module and replace each batch norm in it with a ``FrozenBatchNorm2d``, as in Detectron2: their
    statistics are also fixed in training mode.
    """
    freeze(module)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                setattr(parent, name, FrozenBatchNorm2d.of(child))


def fill_he(layer: nn.Module) -> None:
    """Start values for a layer before a ReLU: normal, scaled by the outputs (He et al. 2015; Caffe2's
    MSRAFill); biases 0.
    """
    assert isinstance(layer.weight, Tensor)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    _zero_bias(layer)


def fill_uniform(layer: nn.Module) -> None:
    """Start values for a layer that keeps the variance of its inputs: uniform, scaled by them (Caffe2's
    XavierFill); biases 0.
    """
    assert isinstance(layer.weight, Tensor)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    _zero_bias(layer)


def _zero_bias(layer: nn.Module) -> None:
    if isinstance(layer.bias, Tensor):
        nn.init.zeros_(layer.bias)
