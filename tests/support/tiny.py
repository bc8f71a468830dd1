"""A plugin and a dataset in one file, as a user would write them: the smallest that train, for the tests of
the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit import Dataset, DatasetManifest, PluginManifest, Prediction, Sample, Settings, TrainableModel
from toolkit.errors import DataError

PLUGIN = PluginManifest(
    name="tiny",
    summary="two convolutions, for tests",
    task="semantic",
    build=":build",
    settings=":TinySettings",
    evaluators=("iou",),
    defaults={"train": {"steps": 20, "batch_size": 4, "lr": 0.01, "workers": 0}},
)
DATASET = DatasetManifest(
    name="squares",
    summary="a bright square on a dark ground, for tests",
    build=":open_squares",
    settings=":SquaresSettings",
    tasks=("semantic",),
    splits=("train", "val"),
    needs_folder=False,
)


class TinySettings(Settings):
    width: int = 4
    """Channels inside."""
    dropout: float = 0.0
    """Chance of dropping a channel, to see that random numbers are repeated."""
    poison: str = ""
    """Part of a sample's id that turns its loss into NaN."""


class TinyModel(TrainableModel):
    def __init__(self, settings: TinySettings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.poison = settings.poison
        self.net = nn.Sequential(
            nn.Conv2d(3, settings.width, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(settings.dropout),
            nn.Conv2d(settings.width, len(classes), 3, padding=1),
        )

    def forward(self, samples: Sequence[Sample]) -> Tensor:
        images = torch.stack([sample.image for sample in samples]).to(self.device)
        logits: Tensor = self.net(images / 255 - 0.5)
        return logits

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        labels = self(samples).argmax(1).to(torch.uint8).cpu()
        return [
            Prediction(sample.id, sample.size, label_map)
            for sample, label_map in zip(samples, labels, strict=True)
        ]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        target = (
            torch.stack([sample.label_map for sample in samples if sample.label_map is not None])
            .long()
            .to(self.device)
        )
        loss = F.cross_entropy(self(samples).float(), target, ignore_index=255)
        if self.poison and any(self.poison in sample.id for sample in samples):
            loss = loss * float("nan")
        return {"cross_entropy": loss}


def build(settings: TinySettings, classes: Sequence[str]) -> TinyModel:
    return TinyModel(settings, classes)


class SquaresSettings(Settings):
    count: int = 12
    """Images in a split."""
    damaged: str = ""
    """Id of a sample that cannot be read."""


class Squares(Dataset):
    classes = ("ground", "square")

    def __init__(self, split: str, count: int, damaged: str) -> None:
        self.split, self.damaged = split, damaged
        self.ids = [f"{split}/{i}" for i in range(count)]

    def __getitem__(self, index: int) -> Sample:
        if self.ids[index] == self.damaged:
            raise DataError(f"{self.damaged} is damaged")
        generator = torch.Generator().manual_seed(index + 1000 * (self.split == "val"))
        image = torch.randint(0, 100, (3, 16, 16), generator=generator, dtype=torch.uint8)
        y, x = torch.randint(0, 10, (2,), generator=generator).tolist()
        label_map = torch.zeros((16, 16), dtype=torch.uint8)
        label_map[y : y + 6, x : x + 6] = 1
        image[:, label_map == 1] += 120
        return Sample(self.ids[index], image, label_map)


def open_squares(folder: Path | None, split: str, settings: SquaresSettings) -> Squares:
    return Squares(split, settings.count, settings.damaged)
