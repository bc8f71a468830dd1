"""Strided 1x1 convolutions with few channels: a workaround for a bug in oneDNN.

In channels-last memory, oneDNN's weight gradient of a strided 1x1 float32 convolution writes beyond the end
of its workspace when the input has fewer channels than a vector register holds: 16 with AVX-512, 8 with AVX2
(https://github.com/uxlfoundation/oneDNN/issues/6035). The process dies, hangs, or continues with wrong
gradients. Seen with torch 2.14.1, which contains oneDNN 3.12.0. Taking every n-th pixel first gives the same
result with a convolution without a stride, which is not affected.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_REGISTER = 16
"""Number of float32 values in the largest vector register."""


def conv2d(x: Tensor, conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution with zero padding whose gradient is correct for any number of channels.

    Args:
        x: ``[B, C, H, W]``.
        conv: its stride, padding, dilation and groups are used.
        weight: ``[O, C / groups, h, w]``.
        bias: ``[O]``, or None.
    """
    stride = conv.stride
    if _is_affected(conv) and x.device.type == "cpu" and torch.is_grad_enabled() and weight.requires_grad:
        x, stride = x[..., :: stride[0], :: stride[1]], (1, 1)
    return F.conv2d(x, weight, bias, stride, conv.padding, conv.dilation, conv.groups)


class StridedConv2d(nn.Conv2d):
    """``nn.Conv2d`` computed by ``conv2d``."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, O, H / stride, W / stride]``, rounded up."""
        return conv2d(x, self, self.weight, self.bias)


def channels_last(network: nn.Module) -> nn.Module:
    """The same network, with its weights in channels-last memory and its affected convolutions computed by
    ``conv2d``. Names, weights and results do not change.
    """
    for part in network.modules():
        # a subclass may compute something else
        if type(part) is nn.Conv2d and _is_affected(part):
            part.__class__ = StridedConv2d
    return network.to(memory_format=torch.channels_last)


def _is_affected(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (1, 1)
        and conv.stride != (1, 1)
        and conv.padding in ((0, 0), "valid")
        and conv.groups == 1
        and conv.in_channels < _REGISTER
    )
