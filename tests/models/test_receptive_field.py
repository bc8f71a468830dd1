"""Receptive fields against the textbook recursion, and against the support of gradients on generated networks
that branch.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.errors import UsageError
from toolkit.models.receptive_field import Field, receptive_field


def along_width(network: nn.Module, **options: int) -> Field:
    height, width = receptive_field(network, **options)
    assert height == width, "these networks treat both axes alike"
    return width


def chain(*layers: tuple[str, int, int, int]) -> tuple[nn.Sequential, int, int]:
    """A chain of (kind, kernel, stride, dilation) with its receptive field and stride by
    ``r += (k - 1) d j; j *= s``.
    """
    modules: list[nn.Module] = []
    field, jump = 1, 1
    for kind, kernel, stride, dilation in layers:
        padding = dilation * (kernel - 1) // 2
        if kind == "conv":
            modules += [
                nn.Conv2d(3, 3, kernel, stride, padding, dilation),
                nn.BatchNorm2d(3),
                nn.ReLU(inplace=True),
            ]
        else:
            modules.append(
                nn.MaxPool2d(kernel, stride, padding)
                if kind == "max"
                else nn.AvgPool2d(kernel, stride, padding)
            )
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return nn.Sequential(*modules), field, jump


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [
        (1, 1, 1, 0),
        (3, 1, 1, 1),
        (3, 1, 1, 0),
        (3, 2, 1, 1),
        (7, 2, 1, 3),
        (2, 2, 1, 0),
        (5, 1, 1, 7),
        (3, 1, 4, 4),
        (3, 2, 12, 12),
        (3, 1, 300, 300),
    ],
)
def test_single_convolution(kernel: int, stride: int, dilation: int, padding: int) -> None:
    field = along_width(nn.Conv2d(3, 2, kernel, stride, padding, dilation))
    assert field == Field(kernel + (kernel - 1) * (dilation - 1), stride)


@pytest.mark.parametrize("seed", range(20))
def test_chains_follow_the_recursion(seed: int) -> None:
    rng = random.Random(seed)
    layers = [
        (rng.choice(["conv", "conv", "max", "avg"]), rng.choice([1, 3, 5]), rng.choice([1, 1, 2]), 1)
        for _ in range(rng.randint(1, 7))
    ]
    layers = [(kind, k, s, rng.choice([1, 2, 3]) if kind == "conv" else 1) for kind, k, s, _ in layers]
    network, expected, stride = chain(*layers)
    assert along_width(network) == Field(expected, stride)


def test_axes_are_told_apart() -> None:
    height, width = receptive_field(
        nn.Sequential(nn.Conv2d(3, 2, (1, 7), stride=(1, 2)), nn.Conv2d(2, 2, (3, 1)))
    )
    assert (height, width) == (Field(3, 1), Field(7, 2))


def test_the_parameters_stay_as_they_were() -> None:
    network = nn.Conv2d(3, 2, 3)
    before = network.weight.clone()
    receptive_field(network)
    assert torch.equal(network.weight, before)
    assert network.training


class UNet(nn.Module):
    """The network of 2015 in its unpadded form, with so few channels that gradients are quick."""

    def __init__(self, depth: int, up: str, pool: type[nn.Module] = nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool(2)
        self.down = nn.ModuleList(self._block(3 if level == 0 else 1) for level in range(depth + 1))
        self.ups = nn.ModuleList(
            (
                nn.ConvTranspose2d(1, 1, 2, stride=2)
                if up == "transposed"
                else nn.Upsample(scale_factor=2, mode=up)
            )
            for _ in range(depth)
        )
        self.up = nn.ModuleList(self._block(2) for _ in range(depth))

    @staticmethod
    def _block(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, block in enumerate(self.down):
            x = block(x)
            if i < len(self.ups):
                skips.append(x)
                x = self.pool(x)
        for upsampling, block in zip(self.ups, self.up, strict=True):
            x = block(torch.cat([skips.pop(), upsampling(x)], dim=1))
        return x


def test_the_u_net_of_2015() -> None:
    """140 pixels down to the bottom; one output needs 5 values there, 16 pixels apart: a coarse value under
    every other fine one.

    Backwards from the output, two 3 x 3 convolutions widen n values to n + 4, and n neighbors at twice the
    resolution come from at most n // 2 + 1: 1 -> 5 -> 3 -> 7 -> 4 -> 8 -> 5 -> 9 -> 5.
    """
    needed = 1
    for _ in range(4):
        needed = (needed + 4) // 2 + 1
    down, jump = 1, 1
    for level in range(5):
        down += 4 * jump
        if level < 4:
            down, jump = down + jump, 2 * jump
    assert (down, needed) == (140, 5)
    assert along_width(UNet(4, "transposed"), divisor=16) == Field(down + (needed - 1) * jump, 1)


def test_the_longest_of_all_places_in_the_grid() -> None:
    """One in eight outputs has two coarse values and their neighbors beneath it; the others have one."""
    coarse = [nn.AvgPool2d(16), nn.Conv2d(3, 3, 3, padding=1), nn.Upsample(scale_factor=16)]
    assert along_width(nn.Sequential(*coarse, nn.Conv2d(3, 3, 3, padding=1)), divisor=16) == Field(4 * 16, 1)


class Pyramid(nn.Module):
    """Parallel dilated convolutions, as in atrous spatial pyramid pooling, on features of stride 4."""

    def __init__(self, *, with_image_pooling: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, stride=4, padding=3)
        self.branches = nn.ModuleList(
            [nn.Conv2d(4, 4, 1), *(nn.Conv2d(4, 4, 3, padding=d, dilation=d) for d in (6, 12, 18))]
        )
        self.with_image_pooling = with_image_pooling

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        parts = [branch(x) for branch in self.branches]
        if self.with_image_pooling:
            pooled = F.adaptive_avg_pool2d(x, 1)
            parts.append(F.interpolate(pooled, x.shape[2:], mode="bilinear"))
        return torch.cat(parts, dim=1)


def test_dilated_pyramid() -> None:
    assert along_width(Pyramid(with_image_pooling=False)) == Field(7 + 2 * 18 * 4, 4)


def test_image_pooling_sees_everything() -> None:
    field = along_width(Pyramid(with_image_pooling=True))
    assert field == Field(None, 4)
    assert str(field) == "the whole image"


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.gate = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.to_qkv = nn.Conv2d(3, 4, 16, stride=16), nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        q, k, v = self.to_qkv(x.flatten(2).transpose(1, 2)).chunk(3, dim=2)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)


class StripPooling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.mean(3, keepdim=True)


@pytest.mark.parametrize(("network", "stride"), [(SqueezeExcite(), 1), (Attention(), 16)])
def test_global_operators_see_the_whole_image(network: nn.Module, stride: int) -> None:
    assert along_width(network) == Field(None, stride)


def test_pooling_over_rows_sees_the_whole_width_only() -> None:
    assert receptive_field(StripPooling()) == (Field(1, 1), Field(None, 1))


def test_norms_over_the_image_are_left_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.BatchNorm2d(4))
    assert along_width(network) == Field(3, 1)


def test_a_field_beyond_the_limit_is_at_least_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.models.receptive_field.LONGEST", 1024)
    field = along_width(nn.Sequential(*(nn.Conv2d(3, 3, 9, dilation=32, padding=128) for _ in range(5))))
    assert field.at_least
    assert field.pixels is not None
    assert 1000 <= field.pixels <= 1 + 5 * 8 * 32
    assert str(field) == f"at least {field.pixels}"


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, dim=3)


class Block(nn.Module):
    """A function between two convolutions, as part of a sum and with something that changes it in place."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.function(self.first(x))
        x.mul_(x.sigmoid())
        total: Tensor = x + self.last(x)
        return total


def frozen(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x.detach() * 2


@pytest.mark.parametrize(
    ("function", "pixels"),
    [
        (lambda x: F.relu6(x - 100), 5),
        (lambda x: F.softmax(x, dim=1), 5),
        (lambda x: F.normalize(x, dim=1), 5),
        (lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-6).sqrt(), 5),
        (lambda x: x.sigmoid() * x + (1 - x.sigmoid()) * x, 5),
        (lambda x: (-100 * x).exp(), 5),
        (frozen, 5),
        (lambda x: x - F.avg_pool2d(x, 3, 1, 1), 7),
        (lambda x: torch.stack([x, x.roll((1, 1), (2, 3)), x.roll((-1, -1), (2, 3))]).max(0)[0], 7),
        (lambda x: F.max_pool2d(x, 3, 1, 2, dilation=2), 9),
        (lambda x: F.adaptive_max_pool2d(x, 1) + x, None),
        (lambda x: x / x.amax((2, 3), keepdim=True), None),
    ],
)
def test_no_path_is_lost(function: Callable[[Tensor], Tensor], pixels: int | None) -> None:
    """Where plain gradients are zero, cancel or follow one of many values."""
    assert along_width(Block(function)) == Field(pixels, 1)


class CrossAttention(nn.Module):
    """The queries are the pixels; the keys and values are constants."""

    def __init__(self, *, module: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True) if module else None

    def forward(self, x: Tensor) -> Tensor:
        query, key = x.flatten(2).transpose(1, 2), torch.ones(len(x), 5, 3)
        if self.attention is None:
            result = F.scaled_dot_product_attention(query, key, key)
        else:
            result, _ = self.attention(query, key, key)
        attended: Tensor = result.transpose(1, 2)
        return attended.reshape(x.shape)


@pytest.mark.parametrize("module", [False, True])
def test_queries_are_seen(module: bool) -> None:
    assert along_width(CrossAttention(module=module)) == Field(1, 1)


class Warp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flow = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.grid_sample(x, self.flow(x).permute(0, 2, 3, 1), align_corners=False)


class OneSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 3, 224, 224))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.position


def test_what_cannot_be_found_is_said() -> None:
    with pytest.raises(UsageError, match=r"aten\.cumsum"):
        receptive_field(Unknown())
    with pytest.raises(UsageError, match="grid_sample"):
        receptive_field(Warp())
    with pytest.raises(UsageError, match="on a strip of an image the network fails with RuntimeError"):
        receptive_field(OneSize())
    with pytest.raises(UsageError, match=r"\[B, C, h, w\]"):
        receptive_field(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()))


# --- the same by gradients


class Branching(nn.Module):
    """A random network: convolutions, pools, upsampling, skips of the same resolution, gates over
    channels.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = rng = random.Random(seed)
        self.stem = nn.Conv2d(3, 4, rng.choice([1, 3, 5]), padding=2)
        self.stages = nn.ModuleList(self._stage(rng) for _ in range(rng.randint(1, 4)))

    @staticmethod
    def _stage(rng: random.Random) -> nn.Module:
        d = rng.choice([1, 2, 3])
        conv = nn.Conv2d(4, 4, 3, padding=d, dilation=d, groups=rng.choice([1, 2, 4]))
        up = rng.choice(
            [
                nn.ConvTranspose2d(4, 4, rng.choice([2, 3, 4]), stride=2, padding=rng.choice([0, 1])),
                nn.Upsample(scale_factor=2, mode=rng.choice(["nearest", "bilinear", "bicubic"])),
                nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)),
            ]
        )
        down = rng.choice([nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1)])
        return nn.ModuleDict({"down": down, "conv": conv, "norm": nn.BatchNorm2d(4), "up": up})

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            inner = F.relu(stage["norm"](stage["conv"](stage["down"](x))))
            inner = stage["up"](inner)
            height, width = min(x.shape[2], inner.shape[2]), min(x.shape[3], inner.shape[3])
            x = x[:, :, :height, :width] * 0.5 + inner[:, :, :height, :width]
        return x


def by_gradients(network: nn.Module, length: int) -> int:
    """The longest support of the gradients of the outputs in the middle, with positive weights so that none
    cancel.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.1)
    image = torch.ones(1, 3, 32, length, dtype=torch.float64, requires_grad=True)
    output = network.double().eval()(image).sum((0, 1, 2))
    longest = 0
    for column in range(len(output) * 3 // 8, len(output) * 5 // 8):
        (gradient,) = torch.autograd.grad(output[column], image, retain_graph=True)
        touched = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        assert touched.min() > 0, "the image must be longer than the field"
        assert touched.max() < length - 1
        longest = max(longest, int(touched.max() - touched.min()) + 1)
    return longest


@pytest.mark.parametrize("seed", range(40))
def test_branching_networks_agree_with_gradients(seed: int) -> None:
    torch.manual_seed(seed)
    network = Branching(seed)
    assert along_width(network).pixels == by_gradients(network, 256)


def test_the_u_net_agrees_with_gradients() -> None:
    torch.manual_seed(0)
    network = UNet(
        3, "bilinear", pool=nn.AvgPool2d
    )  # the gradient of a maximum goes to one of its inputs only
    assert along_width(network, divisor=8).pixels == by_gradients(network, 512)
