"""A plugin with an encoder that has all that freezing is about: batch norms (one without parameters) and
dropout.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from toolkit import PluginManifest, SemanticModel, Settings

PLUGIN = PluginManifest(
    name="backbone",
    summary="an encoder and a head, for tests",
    task="semantic",
    build=":build",
    settings=":BackboneSettings",
    evaluators=("iou",),
    defaults={"train": {"steps": 8, "batch_size": 4, "lr": 0.01, "workers": 0, "schedule": "constant"}},
)


class BackboneSettings(Settings):
    width: int = 4
    """Channels inside."""


class Network(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width, affine=False), nn.ReLU()
            ),
        )
        self.neck = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.neck(self.encoder(images)))
        return logits


def build(settings: BackboneSettings, classes: Sequence[str]) -> SemanticModel:
    return SemanticModel(Network(settings.width, len(classes)), classes)
