"""A model that sees a bright square, an explainer of it, and photos."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from toolkit.explaining.front import Explainer
from toolkit.explaining.subject import Effort
from toolkit.inference.predictor import Predictor
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample

SIZE = (32, 48)


class Brightness(Model):
    """Class 1 wherever the mean of the colors is above a threshold; it has no gradients to give."""

    def __init__(self) -> None:
        super().__init__(("background", "bright"))
        self.weights = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.weights.weight.copy_(torch.tensor([0.0, 1 / 255]).repeat_interleave(3).view(2, 3, 1, 1))
            self.weights.bias.copy_(torch.tensor([1.5, 0.0]))
        self.batches: list[int] = []

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.batches.append(len(samples))
        images = torch.stack([sample.image for sample in samples]).float()
        labels = self.weights(images).argmax(1).to(torch.uint8)
        return [
            Prediction(sample.id, sample.size, label_map=each)
            for sample, each in zip(samples, labels, strict=True)
        ]


class Whole(Model):
    """Probabilities of two classes of the whole image."""

    def __init__(self, *, says: bool = True) -> None:
        super().__init__(("dark", "bright"))
        self.says = says

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found = []
        for sample in samples:
            bright = float(sample.image[:, 4:16, 20:36].float().mean()) / 255
            extras = {"scores": torch.tensor([1 - bright, bright])} if self.says else {"words": "none"}
            found.append(Prediction(sample.id, sample.size, extras=extras))
        return found


def photo() -> Sample:
    """A bright square in the dark, with its truth."""
    image = torch.full((3, *SIZE), 20, dtype=torch.uint8)
    image[:, 4:16, 20:36] = 230
    label_map = torch.zeros(SIZE, dtype=torch.uint8)
    label_map[4:16, 20:36] = 1
    return Sample("photo", image, label_map=label_map)


def explainer(model: Model | None = None, masks: int = 400) -> Explainer:
    """Explains by ``drise``."""
    predictor = Predictor(model or Brightness(), device="cpu")
    return Explainer(predictor, method="drise", effort=Effort(masks=masks, batch_size=16))


def peak(values: Tensor) -> tuple[int, int]:
    """Row and column of the largest value."""
    return divmod(int(values.argmax()), int(values.shape[1]))


def finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
