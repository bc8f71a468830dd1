"""Convolutions with folded norms, packed weights, residuals and ReLUs against one layer after the other; and
that nothing stale is used.
"""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from toolkit.plugins.maskrcnn.layers import Conv2d, FrozenBatchNorm2d
from toolkit.plugins.maskrcnn.ops import convolution
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models import derived


def layer(norm: str = "FrozenBN", kernel: int = 3, channels: int = 12, **options: bool | int) -> Conv2d:
    """A convolution whose norm has statistics of its own."""
    torch.manual_seed(0)
    conv = Conv2d(channels, 16, kernel, norm=norm, **options)  # type: ignore[arg-type]
    if conv.bias is not None:
        nn.init.normal_(conv.bias)
    if isinstance(conv.norm, (FrozenBatchNorm2d, nn.BatchNorm2d)):
        for tensor in (conv.norm.weight, conv.norm.bias, conv.norm.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(conv.norm.running_var, 0.5, 2)
    return conv


def reference(conv: Conv2d, x: Tensor, residual: Tensor | None = None) -> Tensor:
    y = F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)
    y = y if conv.norm is None else conv.norm(y)
    y = y if residual is None else y + residual
    return F.relu(y) if conv.relu else y


def image(channels: int = 12, size: int = 10, number: int = 2) -> Tensor:
    return torch.randn(number, channels, size, size, generator=torch.Generator().manual_seed(1)).contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("norm", ["none", "FrozenBN", "BN", "GN"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2), (7, 2)])
def test_the_same_as_layer_by_layer(
    kernel: int,
    stride: int,
    norm: str,
    relu: bool,
    with_residual: bool,
    fused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not fused:  # as where torch lacks the operators
        monkeypatch.setattr(convolution, "_works", lambda _: False)
    conv = layer(norm, kernel, stride=stride, relu=relu).eval()
    x = image()
    residual = torch.randn(2, 16, 10 // stride, 10 // stride) if with_residual else None
    kept = None if residual is None else residual.clone()
    with torch.no_grad():
        expected = reference(conv, x, residual)
        for _ in range(2):
            torch.testing.assert_close(conv(x, residual), expected, rtol=1e-5, atol=1e-5)
    assert residual is None or torch.equal(residual, kept)
    learned, known = copy.deepcopy(conv).train(), copy.deepcopy(conv).train()
    y, expected = learned(x, residual), reference(known, x, residual)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    y.square().sum().backward()
    expected.square().sum().backward()
    for mine, other in zip(learned.parameters(), known.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-3)


def test_winograd_is_part_of_it() -> None:
    conv = layer("FrozenBN", channels=96, relu=True)
    conv.weight = nn.Parameter(torch.randn(128, 96, 3, 3) / 30)
    conv.norm = FrozenBatchNorm2d(128)
    x, residual = image(96, 60, 1), torch.randn(1, 128, 60, 60)
    with torch.no_grad():
        torch.testing.assert_close(conv(x, residual), reference(conv, x, residual), rtol=1e-4, atol=1e-4)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = conv(ours, residual), reference(conv, theirs, residual)
    for mine, other in zip(
        torch.autograd.grad(y.square().mean(), [ours, conv.weight]),
        torch.autograd.grad(expected.square().mean(), [theirs, conv.weight]),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("norm", ["none", "FrozenBN", "GN"])
def test_bfloat16_by_autocast(norm: str) -> None:
    conv, x, residual = layer(norm, relu=True), image(), torch.randn(2, 16, 10, 10)
    with torch.no_grad():
        expected = reference(conv, x, residual)
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(x, residual)
    if norm != "GN":
        assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.03, atol=0.05)


def test_an_empty_batch_and_gradients_through_frozen_weights() -> None:
    conv = layer("FrozenBN", relu=True).requires_grad_(False)
    assert conv(image()[:0]).shape == (0, 16, 10, 10)
    x = image().requires_grad_()
    conv(x).sum().backward()
    other = image().requires_grad_()
    reference(conv, other).sum().backward()
    torch.testing.assert_close(x.grad, other.grad, rtol=1e-5, atol=1e-5)


def change_in_place(conv: Conv2d) -> None:
    conv.weight.mul_(2)


def change_norm(conv: Conv2d) -> None:
    conv.norm.running_mean.add_(1)  # type: ignore[operator, union-attr]


def change_data(conv: Conv2d) -> None:
    conv.weight.data = conv.weight.data * 3


def change_by_optimizer(conv: Conv2d) -> None:
    conv.weight.grad = torch.ones_like(conv.weight)
    torch.optim.SGD(conv.parameters(), lr=0.1, foreach=True).step()


def change_by_loading(conv: Conv2d) -> None:
    conv.load_state_dict(layer_of_other_values().state_dict())


def change_by_assigning(conv: Conv2d) -> None:
    conv.load_state_dict(layer_of_other_values().state_dict(), assign=True)


def layer_of_other_values() -> Conv2d:
    other = layer()
    nn.init.normal_(other.weight)
    return other


@pytest.mark.parametrize(
    "change",
    [change_in_place, change_norm, change_data, change_by_optimizer, change_by_loading, change_by_assigning],
)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_changed_parameters_count_at_once(change: object, precision: torch.dtype) -> None:
    conv, x = layer(), image()
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        before = conv(x)
        change(conv)  # type: ignore[operator]
        after = conv(x)
        expected = reference(conv, x)
    assert (before.float() - expected.float()).abs().max() > 1
    torch.testing.assert_close(after.float(), expected.float(), rtol=0.03, atol=0.3)


def test_trying_the_operators_draws_no_random_numbers() -> None:
    """A run that is taken up again tries them at another step than the one that went through."""
    convolution._works.cache_clear()
    before = torch.get_rng_state()
    convolution._works(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


def test_precisions_take_turns() -> None:
    conv, x = layer(), image()
    with torch.no_grad():
        exact = conv(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert conv(x).dtype == torch.bfloat16
        assert torch.equal(conv(x), exact)


def test_inference_mode_and_weights_made_in_it() -> None:
    conv, x = layer(), image()
    with torch.inference_mode():
        torch.testing.assert_close(conv(x), reference(conv, x), rtol=1e-5, atol=1e-5)
        made_here = layer()
        for scale in (1, 2):
            made_here.weight.mul_(scale)
            torch.testing.assert_close(made_here(x), reference(made_here, x), rtol=1e-5, atol=1e-5)


def test_prediction_leaves_no_trace() -> None:
    conv = layer()
    before, keys = set(vars(conv)), list(conv.state_dict())
    with torch.no_grad():
        expected = conv(image())
    assert set(vars(conv)) == before
    assert list(conv.state_dict()) == keys
    for twin in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        with torch.no_grad():
            torch.testing.assert_close(twin(image()), expected)


def test_what_is_kept_goes_with_the_module_and_when_it_trains() -> None:
    conv = layer()
    with torch.no_grad():
        conv(image())
    assert conv in derived._kept
    value = weakref.ref(derived._kept[conv].value.weight)
    conv(image().requires_grad_())
    assert conv not in derived._kept
    gc.collect()
    assert value() is None
    with torch.no_grad():
        conv(image())
    count = len(derived._kept)
    del conv
    gc.collect()
    assert len(derived._kept) < count


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_traces_sees_plain_operators() -> None:
    conv = layer(relu=True).eval()
    with torch.no_grad():
        graph = str(torch.jit.trace(conv, image()).inlined_graph)
    assert "aten::_convolution" in graph
    assert "mkldnn" not in graph
