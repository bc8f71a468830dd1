"""Gradients of strided 1x1 convolutions with few channels, where oneDNN's are wrong or end the process."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from toolkit.plugins.maskrcnn.layers import Conv2d
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models.semantic import SemanticModel
from toolkit.models.strided import StridedConv2d, channels_last, conv2d

LARGE = (150, 201)
"""Large enough for oneDNN to write behind its workspace."""


def image(channels: int, size: tuple[int, int] = LARGE) -> Tensor:
    values = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


def gradients(conv: nn.Module, x: Tensor) -> list[Tensor]:
    y = conv(x)
    away = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y, *torch.autograd.grad(y, [x, *conv.parameters()], away)]


@pytest.mark.parametrize("stride", [2, 3, (2, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 7, 8, 12, 15, 16, 17])
def test_gradients_are_those_in_double_precision(channels: int, stride: int | tuple[int, int]) -> None:
    """In double precision, oneDNN is not used."""
    torch.manual_seed(0)
    conv = channels_last(nn.Conv2d(channels, 16, 1, stride=stride))
    assert isinstance(conv, StridedConv2d) == (channels < 16)
    x = image(channels)
    exact = gradients(copy.deepcopy(conv).double(), x.detach().double().requires_grad_())
    for found, expected in zip(gradients(conv, x), exact, strict=True):
        torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-3)


def strides(y: Tensor) -> set[tuple[int, ...]]:
    """Of all convolutions that led to a result."""
    found, left = set(), [y.grad_fn]
    while left:
        node: Any = left.pop()
        if node is not None:
            left += [before for before, _ in node.next_functions]
            if node.name() == "ConvolutionBackward0":
                found.add(tuple(node._saved_stride))
    return found


@pytest.mark.parametrize("channels", [8, 16])
def test_each_network_in_channels_last_memory_is_covered(channels: int) -> None:
    """A wrong gradient is seen only where something else lies behind the workspace, so the graph is looked
    at.
    """
    networks = [
        Conv2d(channels, 16, 1, stride=2, norm="BN"),
        Conv2d(channels, 16, 1, stride=2, norm="FrozenBN"),
        SemanticModel(nn.Sequential(nn.Conv2d(channels, 2, 1, stride=2)), ["a", "b"]).network,
    ]
    for network in networks:
        assert strides(network(image(channels))) == {(1, 1) if channels < 16 else (2, 2)}


def test_names_weights_and_what_else_computes_stay() -> None:
    class Own(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    network = nn.Sequential(
        nn.Conv2d(8, 8, 1, stride=2), Own(8, 8, 1, stride=2), nn.Conv2d(8, 8, 3, stride=2)
    )
    before = copy.deepcopy(network)
    after = channels_last(network)
    assert after is network
    assert [type(part) for part in after] == [StridedConv2d, Own, nn.Conv2d]
    assert str(after[0]).removeprefix("Strided") == str(before[0])
    assert after.state_dict().keys() == before.state_dict().keys()
    with torch.no_grad():
        x = image(8, (33, 18))
        torch.testing.assert_close(after(x), before(x))


@pytest.mark.parametrize("padding", [0, "valid", 1])
@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_any_convolution_is_computed_as_by_torch(kernel: int, groups: int, padding: int | str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, kernel, stride=2, groups=groups, padding=padding, dilation=2)
    x = image(4, (9, 12))
    expected = F.conv2d(x, conv.weight, conv.bias, 2, padding, 2, groups)
    torch.testing.assert_close(conv2d(x, conv, conv.weight, conv.bias), expected)
