"""Winograd's convolution against torch's own in double precision, forward and backward."""

from __future__ import annotations

import pytest
import toolkit.plugins.maskrcnn.ops.winograd as module
import torch
from toolkit.plugins.maskrcnn.ops.winograd import conv3x3, is_faster
from torch import Tensor
from torch.nn import functional as F

CASES = [  # batch, channels, outputs, height, width
    (1, 16, 8, 20, 24),
    (2, 5, 7, 13, 18),
    (1, 3, 4, 1, 1),
    (3, 4, 4, 2, 9),
    (30, 8, 8, 14, 14),
    (1, 130, 120, 33, 31),
    (0, 4, 4, 8, 8),
]


def tensors(case: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    number, channels, outputs, height, width = case
    generator = torch.Generator().manual_seed(sum(case))
    x = torch.randn(number, channels, height, width, generator=generator)
    weight = torch.randn(outputs, channels, 3, 3, generator=generator) / (9 * channels) ** 0.5
    return x, weight, torch.randn(outputs, generator=generator)


@pytest.mark.parametrize("chunk", [1, 400, 36_000])
@pytest.mark.parametrize("case", CASES)
def test_the_same_as_the_plain_convolution(
    case: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    monkeypatch.setattr(module, "_WEIGHT_CHUNK", chunk)
    given = [tensor.requires_grad_() for tensor in tensors(case)]
    exact = [tensor.detach().double().requires_grad_() for tensor in given]
    y, expected = conv3x3(*given), F.conv2d(*exact, padding=1)
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=2e-5)
    toward = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(y, given, toward)
    for mine, other in zip(gradients, torch.autograd.grad(expected, exact, toward.double()), strict=True):
        scale = float(other.abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(mine.double(), other, rtol=0, atol=2e-5 * max(scale, 1))


def test_any_order_of_memory_will_do() -> None:
    x, weight, bias = tensors(CASES[0])
    expected = conv3x3(x, weight, bias)
    assert torch.equal(conv3x3(x.contiguous(memory_format=torch.channels_last), weight, bias), expected)
    assert torch.equal(conv3x3(x.transpose(2, 3).contiguous().transpose(2, 3), weight, bias), expected)
    assert expected.is_contiguous(memory_format=torch.channels_last)


def test_without_a_bias_and_gradients_where_wanted() -> None:
    x, weight, _ = tensors(CASES[0])
    x.requires_grad_()
    y = conv3x3(x, weight)
    torch.testing.assert_close(y, F.conv2d(x, weight, padding=1), rtol=0, atol=2e-5)
    y.sum().backward()
    assert x.grad is not None
    assert weight.grad is None


def test_rounding_costs_little() -> None:
    """Trained networks are compared to a hundredth of a pixel, so the errors must stay within some tens of
    float32's own.
    """
    x, weight, bias = tensors((1, 256, 64, 40, 40))
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    error = (conv3x3(x, weight, bias) - exact).square().mean().sqrt()
    assert error < 4e-6 * exact.std()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"dtype": torch.bfloat16}, False),
        ({"channels": 64}, False),
        ({"size": 20}, False),
    ],
)
def test_it_is_chosen_for_many_channels_and_large_maps(changes: dict[str, object], expected: bool) -> None:
    options = {"dtype": torch.float32, "channels": 256, "size": 80} | changes
    x = torch.empty(1, options["channels"], options["size"], options["size"], dtype=options["dtype"])  # type: ignore[call-overload]
    weight = torch.empty(256, options["channels"], 3, 3, dtype=options["dtype"])  # type: ignore[call-overload]
    assert is_faster(x, weight) is expected
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_faster(x, weight)
