"""Small models and samples that the tests of SAM 2 share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from toolkit.plugins.sam2.model import Sam2Model, build
from toolkit.plugins.sam2.settings import Sam2Settings

from toolkit.types import Instances, Masks, Sample

CLASSES = ("flask", "liquid")
NO_CACHE = {"enabled": False}


def toy(**settings: Any) -> Sam2Model:
    """A toy model that is the same each time."""
    torch.manual_seed(0)
    options = {"size": "toy", "image_size": 64, "rough_masks": False, "cache": NO_CACHE, **settings}
    return build(Sam2Settings(**options), CLASSES)


def scene(objects: int = 2, *, size: tuple[int, int] = (60, 84), seed: int = 0) -> Sample:
    """Bright ellipses on a dark noisy ground, which may overlap."""
    rng = np.random.default_rng([seed, objects, *size])
    height, width = size
    ys, xs = np.mgrid[:height, :width]
    image = rng.integers(0, 90, (3, height, width), dtype=np.uint8)
    masks = np.zeros((objects, height, width), dtype=bool)
    for mask in masks:
        x, y, a, b = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height, *rng.uniform(4, 16, 2)
        mask[:] = ((xs - x) / a) ** 2 + ((ys - y) / b) ** 2 < 1
        image[:, mask] += rng.integers(80, 160, (3, 1), dtype=np.uint8)
    found = Masks.from_dense(masks)
    labels = torch.from_numpy(rng.integers(0, len(CLASSES), objects))
    return Sample(
        f"scene-{seed}-{objects}",
        torch.from_numpy(image),
        instances=Instances(size, found.boxes_xyxy(), labels, found),
    )


def objects(masks: np.ndarray[Any, Any], is_crowd: list[bool] | None = None) -> Sample:
    """A sample of these masks ``[N, H, W]`` on a gray image."""
    found = Masks.from_dense(masks)
    crowd = None if is_crowd is None else torch.tensor(is_crowd)
    size = found.size
    instances = Instances(
        size, found.boxes_xyxy(), torch.zeros(len(masks), dtype=torch.int64), found, is_crowd=crowd
    )
    return Sample("a-sample", torch.full((3, *size), 90, dtype=torch.uint8), instances=instances)
