"""What the tests of pictures draw."""

from __future__ import annotations

import numpy as np
import torch

from toolkit.types import Instances, Masks, Prediction
from toolkit.visualization.palettes import default_palette

CLASSES = ("background", "cat", "Flüssigkeit")


PALETTE = default_palette(3)


def gray(height: int = 80, width: int = 120, value: int = 100) -> torch.Tensor:
    return torch.full((3, height, width), value, dtype=torch.uint8)


def objects(size: tuple[int, int], *masks: np.ndarray, labels: list[int]) -> Prediction:
    coded = Masks.from_dense(np.stack(masks))
    scores = torch.linspace(0.9, 0.5, len(masks))
    instances = Instances(size, coded.boxes_xyxy(), torch.tensor(labels), coded, scores)
    return Prediction("a", size, instances=instances)
