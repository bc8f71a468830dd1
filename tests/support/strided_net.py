"""A semantic plugin with a stride, for tests of exporting: what it computes depends on padding, on bilinear
upsampling and on the order of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import PluginManifest, SemanticModel, Settings

PLUGIN = PluginManifest(
    name="strided-net",
    summary="three convolutions with a stride of 4, for tests",
    task="semantic",
    build=":build",
    settings=":StridedSettings",
    evaluators=("iou",),
)


class StridedSettings(Settings):
    width: int = 4
    """Channels inside."""
    long_side: int | None = None
    """Longest side of an image for the network, in pixels."""


class StridedNet(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.skip = nn.Conv2d(width, width, 1)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = F.relu(self.first(images))
        coarse = F.relu(self.second(fine))
        merged = self.upsampled(coarse, fine) + self.skip(fine)
        logits: Tensor = self.head(F.relu(merged))
        return logits

    def upsampled(self, coarse: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(coarse, like.shape[2:], mode="bilinear", align_corners=False)


def build(settings: StridedSettings, classes: Sequence[str]) -> SemanticModel:
    network = StridedNet(settings.width, len(classes))
    return SemanticModel(network, classes, divisor=4, padding="reflect", long_side=settings.long_side)
