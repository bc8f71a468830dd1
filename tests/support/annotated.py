"""Models that know what they find, for the tests of bridges to annotation tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from toolkit.inference.predictor import Predictor
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import Model
from toolkit.types import Instances, Masks, Prediction, Prompts, Sample

CLASSES = ("cat", "dog")


def blobs(size: tuple[int, int]) -> np.ndarray:
    """A mask with a hole and a second part, and another one, bool ``[2, H, W]``."""
    height, width = size
    masks = np.zeros((2, *size), bool)
    masks[0, : height // 2, : width // 2] = True
    masks[0, height // 6 : height // 3, width // 6 : width // 3] = False
    masks[0, height - 8 : height - 2, width - 9 : width - 3] = True
    masks[1, height // 3 :, width // 3 : width - 12] = True
    return masks


class Finder(Model):
    """Finds the same in every image: ``kind`` says of which kind."""

    draw_above = 0.5

    def __init__(self, kind: str) -> None:
        super().__init__(("background", *CLASSES) if kind == "semantic" else CLASSES)
        self.kind = kind

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Prediction:
        fields: dict[str, Any] = {}
        dense = blobs(sample.size)
        if self.kind == "semantic":
            label_map = torch.zeros(sample.size, dtype=torch.uint8)
            label_map[torch.from_numpy(dense[0])] = 1
            label_map[torch.from_numpy(dense[1])] = 2
            label_map[-1] = 255
            fields["label_map"] = label_map
        elif self.kind == "classes":
            fields["extras"] = {"scores": torch.tensor([0.25, 0.75])}
        else:
            masks = Masks.from_dense(dense[[0, 1, 1]])
            fields["instances"] = Instances(
                sample.size,
                masks.boxes_xyxy(),
                torch.tensor([0, 1, 1]),
                masks if self.kind == "masks" else None,
                torch.tensor([0.875, 0.625, 0.125]),
            )
        return Prediction(sample.id, sample.size, **fields)


class Pointed(Finder, Promptable):
    """Answers a box with its pixels, and points with a square around the first one that is positive."""

    def __init__(self) -> None:
        super().__init__("masks")
        self.encoded: list[tuple[int, int]] = []

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        self.encoded += [sample.size for sample in samples]
        return [sample.size for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        mask = np.zeros(encoded, bool)
        if prompts.boxes_xyxy is not None:
            x0, y0, x1, y1 = map(int, prompts.boxes_xyxy[0])
            mask[y0:y1, x0:x1] = True
        if prompts.points_xy is not None and prompts.point_labels is not None:
            for (x, y), label in zip(
                prompts.points_xy[0].tolist(), prompts.point_labels[0].tolist(), strict=True
            ):
                mask[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3] = label == 1
        found = Masks.from_dense(mask[None])
        return Instances(
            encoded, found.boxes_xyxy(), torch.zeros(1, dtype=torch.int64), found, torch.tensor([0.75])
        )

    def find_all(self, encoded: Any) -> Instances:
        raise NotImplementedError


def predictor(kind: str) -> Predictor:
    """With the model of a kind: ``masks``, ``boxes``, ``semantic``, ``classes`` or ``prompts``."""
    return Predictor(Pointed() if kind == "prompts" else Finder(kind), device="cpu", name=f"{kind} model")
