"""What `toolkit summary` prints of DeepLabv3: effective kernels, receptive field and output stride, against
arithmetic and gradients.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from toolkit.plugins.deeplabv3.encoders import build_encoder
from toolkit.plugins.deeplabv3.model import build
from toolkit.plugins.deeplabv3.settings import DeepLabV3Settings
from torch import Tensor, nn

from toolkit import registry
from toolkit.cli import main
from toolkit.models.receptive_field import Field, receptive_field


def summary_of(capsys: pytest.CaptureFixture[str], plugin: str, *settings: str) -> dict[str, Any]:
    capsys.readouterr()
    assert (
        main(["summary", plugin, "--size", "64x64", "--classes", "2", "--json", "channels=4", *settings]) == 0
    )
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def support(network: nn.Module, length: int) -> tuple[int, int]:
    """The longest support of the gradients of the logits in the middle of a strip, and the pixels from one
    logit to the next.

    With positive weights no gradient cancels; the gradient of a maximum goes to one of its inputs only, so a
    mean of the same window stands for it.
    """
    for parent in network.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.01)
    image = torch.ones(1, 3, 32, length, dtype=torch.float64, requires_grad=True)
    logits = network.double().eval()(image)
    outputs = logits.sum((0, 1, 2))
    longest = 0
    for column in range(len(outputs) // 2 - 4, len(outputs) // 2 + 4):
        (gradient,) = torch.autograd.grad(outputs[column], image, retain_graph=True)
        touched = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        assert 0 < touched.min() < touched.max() < length - 1, "the strip must be longer than the field"
        longest = max(longest, int(touched.max() - touched.min()) + 1)
    return longest, length // len(outputs)


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("plugin", ["deeplabv3", "deeplabv3plus"])
def test_the_receptive_field_is_the_support_of_the_gradient(
    capsys: pytest.CaptureFixture[str], plugin: str, stride: int
) -> None:
    words = [
        "encoder=tu-test_resnet",
        f"output_stride={stride}",
        "atrous_rates=[1,2,3]",
        "image_pooling=false",
    ]
    values = summary_of(capsys, plugin, *words)
    settings = {
        "encoder": "tu-test_resnet",
        "output_stride": stride,
        "atrous_rates": (1, 2, 3),
        "image_pooling": False,
        "channels": 4,
    }
    manifest = registry.plugins().get(plugin)
    model = manifest.resolve(manifest.build)(manifest.resolve(manifest.settings)(**settings), ("a", "b"))
    pixels, step = support(model.network, 2048)
    assert values["receptive_field"] == [{"pixels": pixels, "stride": step, "at_least": False}] * 2
    assert values["output_stride"] == [step, step] == ([stride] * 2 if plugin == "deeplabv3" else [4, 4])


def by_recursion(layers: list[tuple[int, int, int]]) -> int:
    """The receptive field of a chain of (kernel, stride, dilation) by ``r += (k - 1) d j; j *= s``."""
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


@pytest.mark.parametrize(("stride", "blocks"), [(8, (2, 4)), (16, (1, 2)), (32, (1, 1))])
def test_the_receptive_field_of_resnet50_by_hand(stride: int, blocks: tuple[int, int]) -> None:
    """The 3 x 3 convolutions of its 3, 4, 6 and 3 blocks; dilation keeps the field what it is without."""
    layers = [(7, 2, 1), (3, 2, 1)]
    for count, step, dilation, first in [
        (3, 1, 1, 1),
        (4, 2, 1, 1),
        (6, 2, blocks[0], 1),
        (3, 2, blocks[1], blocks[0]),
    ]:
        step = 1 if dilation > first else step
        layers += [(3, step, first), *[(3, 1, dilation)] * (count - 1)]

    class Deepest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = build_encoder("resnet50", stride).module

        def forward(self, images: Tensor) -> Tensor:
            deepest: Tensor = self.encoder(images)[-1]
            return deepest

    expected = Field(by_recursion(layers), stride)
    assert expected.pixels == 427
    assert receptive_field(Deepest()) == (expected, expected)


def test_image_pooling_sees_the_whole_image(capsys: pytest.CaptureFixture[str]) -> None:
    values = summary_of(capsys, "deeplabv3", "encoder=tu-test_resnet")
    assert values["receptive_field"] == [{"pixels": None, "stride": 8, "at_least": False}] * 2


def test_effective_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    """k + (k - 1)(d - 1), as printed, is as far as the gradient of one convolution reaches."""
    values = summary_of(capsys, "deeplabv3", "encoder=resnet18")
    layers = {layer["name"]: layer for layer in values["layers"]}
    network = build(DeepLabV3Settings(encoder="resnet18", channels=4), ("a", "b")).network
    dilated = 0
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            kernel, dilation = module.kernel_size[0], module.dilation[0]
            assert layers[name]["effective_kernel"] == [kernel + (kernel - 1) * (dilation - 1)] * 2
            dilated += dilation > 1 and kernel > 1
            if name.startswith("classifier.0.convs"):
                image = torch.zeros(1, module.in_channels, 1, 101, requires_grad=True)
                module(image)[0, 0, 0, 50].backward()
                touched = image.grad.abs().sum((0, 1, 2)).nonzero()
                assert layers[name]["effective_kernel"][1] == int(touched.max() - touched.min()) + 1
        elif name:
            assert layers[name]["effective_kernel"] is None
    assert (
        dilated == 3 + (1 + 3) + 3
    )  # in the stages of stride 16 and 32, where the first of each keeps its dilation, and in the pyramid
    capsys.readouterr()
    assert (
        main(["summary", "deeplabv3", "encoder=resnet18", "channels=4", "--size", "64x64", "--depth", "0"])
        == 0
    )
    printed = " ".join(capsys.readouterr().out.split())
    for part in (
        "3×3 with dilation 2 covers 5×5 (4 ×)",
        "3×3 with dilation 4 covers 9×9 (3 ×)",
        "with dilation 12 covers 25×25 (1 ×)",
        "with dilation 36 covers 73×73 (1 ×)",
    ):
        assert part in printed
