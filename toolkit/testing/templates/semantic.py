"""mynet: a small encoder and decoder for semantic segmentation. Change what you like; the checks tell you
what no longer works.

toolkit train --plugin mynet.py --data shapes
toolkit plugins check mynet.py
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import PluginManifest, SemanticModel, Settings
from toolkit.models.losses import SegmentationLossSettings

PLUGIN = PluginManifest(
    name="mynet",
    summary="a small encoder and decoder",
    task="semantic",
    build=":build",
    settings=":MyNetSettings",
    evaluators=("iou",),
    defaults={"train": {"steps": 200, "batch_size": 8, "lr": 3e-3}},
)


class MyNetSettings(Settings):
    """The network and its loss; the docstring of each field is its documentation."""

    width: int = Field(16, ge=1)
    """Channels at half resolution, doubled at each halving."""
    loss: SegmentationLossSettings = SegmentationLossSettings()
    """Training loss."""


class MyNet(nn.Module):
    """Three downsampling steps, then upsampling to half resolution with skip connections.

    Takes normalized images ``[B, 3, H, W]`` whose sides are multiples of 8, and returns logits
    ``[B, C, H / 2, W / 2]``; ``SemanticModel`` resizes them to the image's pixels.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                _block(3, width, stride=2),
                _block(width, 2 * width, stride=2),
                _block(2 * width, 4 * width, stride=2),
            ]
        )
        self.up = nn.ModuleList([_block(6 * width, 2 * width), _block(3 * width, width)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of normalized images."""
        features, skips = images, []
        for block in self.down:
            features = block(features)
            skips.append(features)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            features = block(torch.cat([F.interpolate(features, scale_factor=2), skip], 1))
        logits: Tensor = self.head(features)
        return logits


def _block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def build(settings: MyNetSettings, classes: Sequence[str]) -> SemanticModel:
    """The model with random weights."""
    return SemanticModel(MyNet(settings.width, len(classes)), classes, loss=settings.loss, divisor=8)
