"""Small samples for the conformance checks."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from toolkit.types import Sample, Size

from .labels import FIELD


def examples(
    classes: Sequence[str], sizes: Sequence[Size], *, objects: int = 3, seed: int = 0
) -> list[Sample]:
    """Images in the color of their class, one class after the other, with so many darker stripes."""
    return [_example(i, size, len(classes), objects, seed) for i, size in enumerate(sizes)]


def _example(index: int, size: Size, classes: int, stripes: int, seed: int) -> Sample:
    rng = np.random.default_rng([seed, index])
    label = (index + seed) % classes
    color = np.array(colorsys.hsv_to_rgb(label / classes, 0.8, 0.8)) * 255
    image = color + rng.normal(0, 12, (*size, 3))
    for row in rng.integers(0, size[0], stripes).tolist():
        image[row] *= 0.6
    pixels = torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1).contiguous()
    truth = F.one_hot(torch.tensor(label), classes).float()
    return Sample(f"example-{seed}-{index}", pixels, extras={FIELD: truth})
