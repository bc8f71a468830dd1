"""Models to compare that need no training, and a dataset of objects without a background, for tests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from toolkit import (
    Dataset,
    DatasetManifest,
    Instances,
    Masks,
    Model,
    PluginManifest,
    Prediction,
    Sample,
    Settings,
)

PLUGIN = (
    PluginManifest(
        name="bright",
        summary="bright pixels are squares",
        task="semantic",
        build=":build_bright",
        settings=":RivalSettings",
    ),
    PluginManifest(
        name="blob",
        summary="bright pixels are one square",
        task="instance",
        build=":build_blob",
        settings=":RivalSettings",
    ),
)
DATASET = DatasetManifest(
    name="lone-squares",
    summary="one bright square on a dark ground, as an object",
    build=":open_squares",
    tasks=("instance",),
    splits=("train", "val"),
    needs_folder=False,
)


class RivalSettings(Settings):
    threshold: float = 110
    """From which mean of a pixel's colors on it is a square; 110 is right."""
    milliseconds: float = 0
    """How long an image takes at least."""
    megabytes: int = 0
    """What predicting takes beside the weights."""
    weights: int = 10
    """How many there are."""


class Rival(Model):
    def __init__(self, settings: RivalSettings, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.settings = settings
        self.weight = nn.Parameter(torch.ones(settings.weights))

    def squares(self, sample: Sample) -> Tensor:
        """Bool ``[H, W]``."""
        time.sleep(self.settings.milliseconds / 1000)
        ballast = torch.ones(self.settings.megabytes * 2**18)
        return (sample.image.float().mean(0) >= self.settings.threshold) & bool(
            ballast.min() if len(ballast) else 1
        )


class Bright(Rival):
    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        square, ground = (
            self.classes.index("square"),
            self.classes.index("background") if "background" in self.classes else 0,
        )
        maps = [torch.where(self.squares(sample), square, ground).to(torch.uint8) for sample in samples]
        return [
            Prediction(sample.id, sample.size, label_map)
            for sample, label_map in zip(samples, maps, strict=True)
        ]


class Blob(Rival):
    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, instances=self.instances(sample)) for sample in samples]

    def instances(self, sample: Sample) -> Instances:
        masks = Masks.from_dense(self.squares(sample)[None])
        labels = torch.tensor([self.classes.index("square")])
        return Instances(sample.size, masks.boxes_xyxy(), labels, masks, scores=torch.tensor([0.9]))


def build_bright(settings: RivalSettings, classes: Sequence[str]) -> Bright:
    return Bright(settings, classes)


def build_blob(settings: RivalSettings, classes: Sequence[str]) -> Blob:
    return Blob(settings, classes)


class LoneSquares(Dataset):
    classes = ("square",)

    def __init__(self, split: str) -> None:
        self.ids = [f"{split}/{i}" for i in range(12)]
        self.offset = 100 * (split == "val")

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index + self.offset)
        image = torch.randint(0, 100, (3, 16, 20), generator=generator, dtype=torch.uint8)
        y, x = torch.randint(0, 10, (2,), generator=generator).tolist()
        mask = torch.zeros((1, 16, 20), dtype=torch.bool)
        mask[0, y : y + 6, x : x + 6] = True
        image[:, mask[0]] += 120
        masks = Masks.from_dense(mask)
        return Sample(
            self.ids[index],
            image,
            instances=Instances((16, 20), masks.boxes_xyxy(), torch.tensor([0]), masks),
        )


def open_squares(folder: Path | None, split: str, settings: Settings) -> LoneSquares:
    return LoneSquares(split)
