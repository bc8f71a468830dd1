"""Small masks and what a dataset makes of them, for the tests of LabPics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.types import Sample

H, W = 12, 16
VESSEL, MATERIAL = 1, 2


def labpics(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("labpics"), folder, split, {"val_fraction": 0} | options)


def put(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def box(y0: int, y1: int, x0: int, x1: int, value: int = 1) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[y0:y1, x0:x1] = value
    return mask


def objects(sample: Sample) -> list[tuple[int, bytes]]:
    """Class and mask of each object that is no crowd, in an order of their own."""
    found = sample.instances
    assert found is not None
    assert found.masks is not None
    crowd = torch.zeros(len(found), dtype=torch.bool) if found.is_crowd is None else found.is_crowd
    kept = found[~crowd]
    return sorted(
        (int(label), mask.numpy().tobytes())
        for label, mask in zip(kept.labels, kept.masks.dense(), strict=True)
    )


def expected(*pairs: tuple[int, np.ndarray]) -> list[tuple[int, bytes]]:
    return sorted((label, (mask != 0).tobytes()) for label, mask in pairs)
