"""Models and images that the tests of the folder pipeline share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toolkit.inference import Predictor
from toolkit.models.contract import Model
from toolkit.types import Instances, Masks, Prediction, Sample


class Bright(Model):
    """Class 1 where a pixel is bright."""

    def __init__(self) -> None:
        super().__init__(("dark", "bright"))
        self.seen: list[str] = []

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.seen += [sample.id for sample in samples]
        return [
            Prediction(s.id, s.size, label_map=(s.image.float().mean(0) > 127).to(torch.uint8))
            for s in samples
        ]


class Spots(Model):
    """One object for each channel that is bright somewhere: its bright pixels; the mean brightness is the
    score.
    """

    def __init__(self) -> None:
        super().__init__(("red", "green", "blue"))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(s.id, s.size, instances=self.instances(s)) for s in samples]

    def instances(self, sample: Sample) -> Instances:
        masks = sample.image > 200
        found = [channel for channel in range(3) if masks[channel].any()]
        coded = Masks.from_dense(masks[found])
        scores = (
            torch.stack([sample.image[channel].float().mean() / 255 for channel in found])
            if found
            else torch.zeros(0)
        )
        return Instances(
            sample.size, coded.boxes_xyxy(), torch.tensor(found, dtype=torch.int64), coded, scores
        )


def write_image(path: Path, seed: int = 0, height: int = 24, width: int = 37) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST).save(path)


ORDER = [
    "0.png",
    "1.png",
    "2.png",
    "2b.jpg",
    "3.png",
    "4.png",
    "4b.png",
    "5.png",
    "deep/text.jpg",
    "deep/wide.jpg",
    "deep/er/x.png",
]
GOOD = [name for name in ORDER if name not in ("2b.jpg", "4b.png", "deep/text.jpg")]


def predictor(model: Model | None = None, **options: object) -> Predictor:
    return Predictor(model or Bright(), device="cpu", **options)


def manifest(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def files(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
