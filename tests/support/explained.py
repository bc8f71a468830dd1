"""Models and images that the tests of explanations share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from support.small_settings import MODELS
from torch import Tensor, nn

from toolkit import Sample, SemanticModel
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.models.capabilities import Explainable
from toolkit.models.contract import Model
from toolkit.runtime.seeding import seed_everything
from toolkit.types import Instances, Prediction, Target

CLASSES = ("background", "cow", "sheep")


def image(seed: int = 0, height: int = 24, width: int = 36) -> Tensor:
    """Noise, uint8 ``[3, height, width]``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def sample(seed: int = 0, height: int = 24, width: int = 36) -> Sample:
    return Sample(f"photo {seed}", image(seed, height, width))


def write_photos(folder: Path, count: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        Image.fromarray(np.asarray(image(seed).permute(1, 2, 0))).save(folder / f"{seed}.png")
    return folder


def semantic(seed: int = 0, divisor: int = 4) -> SemanticModel:
    """Three convolutions, the second at half the resolution."""
    seed_everything(seed, "model")
    layers: list[tuple[str, nn.Module]] = [
        ("first", nn.Conv2d(3, 6, 3, padding=1)),
        ("relu", nn.ReLU(inplace=True)),
        ("down", nn.Conv2d(6, 8, 3, stride=2, padding=1)),
        ("tanh", nn.Tanh()),
        ("logits", nn.Conv2d(8, len(CLASSES), 1)),
    ]
    return SemanticModel(nn.Sequential(OrderedDict(layers)), CLASSES, divisor=divisor).eval()


class Pooled(Model, Explainable):
    """Classifies images as Zhou et al. do: convolutions, global average pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__(CLASSES)
        seed_everything(1, "model")
        self.features = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU())
        self.classes_layer = nn.Linear(5, len(CLASSES))

    def score(self, images: Tensor, target: Target) -> Tensor:
        assert target.label is not None
        logits: Tensor = self.classes_layer(self.features(images / 255).mean((2, 3)))
        return logits[:, target.label]

    def layers(self) -> tuple[str, ...]:
        return ("features",)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        logits = [
            self.classes_layer(self.features(each.image[None] / 255).mean((2, 3)))[0] for each in samples
        ]
        return [
            Prediction(each.id, each.size, extras={"scores": found})
            for each, found in zip(samples, logits, strict=True)
        ]


class Fixed(Model):
    """Finds the same objects in every image, without gradients."""

    def __init__(self, found: Instances, classes: Sequence[str] = CLASSES) -> None:
        super().__init__(classes)
        self.found = found

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(each.id, each.size, instances=self.found) for each in samples]


def save_run(name: str, folder: Path) -> Path:
    """A run of a plugin with small settings and random weights."""
    case = MODELS[name]
    model = case.build()
    manifest = CheckpointManifest(case.manifest.name, case.task.name, case.classes, model=dict(case.settings))
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder / "best.safetensors", model.state_dict(), manifest)
    return folder
