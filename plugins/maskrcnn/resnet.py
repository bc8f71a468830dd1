"""ResNet (He et al., https://arxiv.org/abs/1512.03385) as the bottom-up half of the pyramid."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Conv2d, fill_he, freeze_with_norms
from .settings import BackboneSettings

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks in res2 to res5."""


class Stem(nn.Module):
    """A 7×7 convolution and a max pooling: a quarter of the resolution."""

    def __init__(self, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv1 = Conv2d(3, out_channels, 7, stride=2, norm=norm, relu=True)
        fill_he(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W]`` to ``[B, out_channels, H / 4, W / 4]``."""
        return F.max_pool2d(self.conv1(x), kernel_size=3, stride=2, padding=1)


class Block(nn.Module):
    """Convolutions with a shortcut: two 3×3 ones, or 1×1, 3×3, 1×1 if ``bottleneck`` channels are
    given.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        norm: str,
        bottleneck: int | None,
        stride_in_1x1: bool,
    ) -> None:
        super().__init__()
        shortcut = None
        if in_channels != out_channels or stride != 1:
            shortcut = Conv2d(in_channels, out_channels, 1, stride=stride, norm=norm)
        self.shortcut = shortcut
        if bottleneck is None:
            self.conv1 = Conv2d(in_channels, out_channels, 3, stride=stride, norm=norm, relu=True)
            self.conv2 = Conv2d(out_channels, out_channels, 3, norm=norm, relu=True)
        else:
            first, second = (stride, 1) if stride_in_1x1 else (1, stride)
            self.conv1 = Conv2d(in_channels, bottleneck, 1, stride=first, norm=norm, relu=True)
            self.conv2 = Conv2d(bottleneck, bottleneck, 3, stride=second, norm=norm, relu=True)
            self.conv3 = Conv2d(bottleneck, out_channels, 1, norm=norm, relu=True)
        self._has_third = bottleneck is not None
        for layer in self.children():
            fill_he(layer)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` to ``[B, out_channels, H / stride, W / stride]``."""
        residual = x if self.shortcut is None else self.shortcut(x)
        out: Tensor = self.conv1(x)
        if self._has_third:
            return self.conv3(self.conv2(out), residual)  # type: ignore[no-any-return]
        return self.conv2(out, residual)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Stem and four stages.

    Attributes:
        out_channels: channels of res2 to res5.
    """

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        bottlenecks = settings.depth >= 50
        self.stem = Stem(settings.stem_out_channels, settings.norm)
        self.out_channels: list[int] = []
        channels = settings.stem_out_channels
        width = settings.res2_out_channels or (256 if bottlenecks else 64)
        for i, count in enumerate(BLOCKS[settings.depth]):
            blocks = []
            for k in range(count):
                stride = 2 if i > 0 and k == 0 else 1
                bottleneck = settings.width_per_group * 2**i if bottlenecks else None
                blocks.append(
                    Block(
                        channels,
                        width * 2**i,
                        stride=stride,
                        norm=settings.norm,
                        bottleneck=bottleneck,
                        stride_in_1x1=settings.stride_in_1x1,
                    )
                )
                channels = width * 2**i
            self.add_module(f"res{i + 2}", nn.Sequential(*blocks))
            self.out_channels.append(channels)
        for module in list(self.children())[: settings.freeze_at]:  # the stem comes first
            freeze_with_norms(module)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of res2 to res5, strides 4 to 32, of images ``[B, 3, H, W]`` whose sides are multiples of
        32.
        """
        x = self.stem(images)
        features = []
        for name in ("res2", "res3", "res4", "res5"):
            x = self.get_submodule(name)(x)
            features.append(x)
        return features
