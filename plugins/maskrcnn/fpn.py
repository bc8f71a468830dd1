"""Feature pyramid network (Lin et al., https://arxiv.org/abs/1612.03144)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Conv2d, fill_uniform
from .resnet import ResNet
from .settings import FPNSettings

STRIDES = (4, 8, 16, 32, 64)
"""Strides of P2 to P6."""


class FPN(nn.Module):
    """The pyramid on top of a ResNet, which is its part ``bottom_up``."""

    def __init__(self, bottom_up: ResNet, settings: FPNSettings) -> None:
        super().__init__()
        for level, channels in enumerate(bottom_up.out_channels, start=2):
            lateral = Conv2d(channels, settings.out_channels, 1, norm=settings.norm)
            output = Conv2d(settings.out_channels, settings.out_channels, 3, norm=settings.norm)
            fill_uniform(lateral)
            fill_uniform(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
        self.bottom_up = bottom_up
        self.averages = settings.fuse_type == "avg"

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features P2 to P6, ``[B, C, H / stride, W / stride]`` each, of images ``[B, 3, H, W]`` whose sides
        are multiples of 32.

        P6, every second value of P5, is for anchors only.
        """
        maps: list[Tensor] = []
        above: Tensor | None = None
        for level, features in reversed(list(enumerate(self.bottom_up(images), start=2))):
            from_above = None if above is None else F.interpolate(above, scale_factor=2.0, mode="nearest")
            merged: Tensor = self.get_submodule(f"fpn_lateral{level}")(features, from_above)
            if self.averages and above is not None:
                merged = merged / 2
            maps.insert(0, self.get_submodule(f"fpn_output{level}")(merged))
            above = merged
        return [*maps, torch.max_pool2d(maps[-1], kernel_size=1, stride=2)]
