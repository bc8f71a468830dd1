"""A plugin that is deep and has no norms, for tests of what becomes of its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from toolkit import PluginManifest, SemanticModel, Settings

PLUGIN = PluginManifest(
    name="deep",
    summary="one convolution after the other, for tests",
    task="semantic",
    build=":build",
    settings=":DeepSettings",
    evaluators=("iou",),
    defaults={"train": {"steps": 20, "batch_size": 4, "lr": 0.01, "workers": 0}},
)


class DeepSettings(Settings):
    depth: int = 16
    """Convolutions before the last."""
    activation: Literal["sigmoid", "relu"] = "sigmoid"
    """What stands between them."""


def build(settings: DeepSettings, classes: Sequence[str]) -> SemanticModel:
    layers: list[nn.Module] = []
    for i in range(settings.depth):
        layers += [
            nn.Conv2d(8 if i else 3, 8, 3, padding=1),
            nn.Sigmoid() if settings.activation == "sigmoid" else nn.ReLU(),
        ]
    return SemanticModel(nn.Sequential(*layers, nn.Conv2d(8, len(classes), 1)), classes)
