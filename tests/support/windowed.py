"""A semantic plugin on the plain contract, without ``SemanticModel``: it learns, and declares windows. With
faults, each of which one check of capabilities must name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import PluginManifest, Prediction, Sample, Settings, Tileable, TrainableModel
from toolkit.errors import InvalidDataError

PLUGIN = PluginManifest(
    name="windowed",
    summary="two convolutions that look at windows, for tests",
    task="semantic",
    build=":build",
    settings=":WindowedSettings",
    defaults={"train": {"steps": 40, "batch_size": 4, "lr": 0.02, "workers": 0}},
)


class WindowedSettings(Settings):
    """What it is tried with."""

    fault: str = ""
    """A fault of its windows."""


class Windowed(TrainableModel, Tileable):
    def __init__(self, fault: str, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.fault = fault
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, len(classes), 1)

    def logits(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(F.relu(self.body(images.to(self.device) / 255)))
        if self.fault == "halved":
            return scores[:, :, ::2, ::2]
        return -scores if self.fault == "negated" else scores

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        predictions = []
        for sample in samples:
            scores = self.head(F.relu(self.body(sample.image[None].to(self.device) / 255)))[0]
            label_map = scores.argmax(0).to(torch.uint8).cpu()
            predictions.append(Prediction(sample.id, sample.size, label_map=label_map))
        return predictions

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        losses = []
        for sample in samples:
            if sample.label_map is None:
                raise InvalidDataError(f"sample {sample.id!r} has no label_map")
            target = sample.label_map[None].long().to(self.device)
            total = F.cross_entropy(
                self.logits(sample.image[None]).float(), target, ignore_index=255, reduction="sum"
            )
            losses.append(total / (target != 255).sum().clamp(min=1))
        return {"cross_entropy": torch.stack(losses).mean()}


def build(settings: WindowedSettings, classes: Sequence[str]) -> Windowed:
    return Windowed(settings.fault, classes)
