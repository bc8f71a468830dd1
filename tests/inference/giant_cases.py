"""Images that count as giant in the tests, and models that predict them window by window."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from support.seams import Brighter, Regions
from torch import Tensor

from toolkit.inference import Predictor, Tiling
from toolkit.models.semantic import SemanticModel
from toolkit.types import Prediction, Sample

SIZE = (210, 330)
TILING = Tiling(64, 0.3)


def discs(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray[Any, Any]:
    """Bright discs on a dark, noisy ground, uint8 ``[H, W, 3]``."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    gray = random.integers(0, 80, size)
    for _ in range(30):
        y, x = random.uniform(0, 1, 2) * size
        gray[(rows - y) ** 2 + (columns - x) ** 2 < random.uniform(4, 22) ** 2] = random.integers(110, 250)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)


def write_giant(path: Path, seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    how = {"tile": (48, 64), "compression": "zlib", "photometric": "rgb", "metadata": None}
    tifffile.imwrite(path, discs(seed), **(how | options))
    return path


class Stopping:
    """Counts windows, and raises an error at one of them."""

    def __init__(self) -> None:
        self.seen, self.stop_at, self.error = 0, 0, KeyboardInterrupt()

    def watch(self, count: int) -> None:
        self.seen += count
        if self.stop_at and self.seen >= self.stop_at:
            raise self.error


class Objects(Regions):
    def __init__(self) -> None:
        super().__init__(("disc",))
        self.stopping = Stopping()

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        self.stopping.watch(len(samples))
        return super().predict(samples)


class LabelMaps(SemanticModel):
    def __init__(self) -> None:
        super().__init__(Brighter(), ("ground", "disc"))
        self.stopping = Stopping()

    def logits(self, images: Tensor) -> Tensor:
        self.stopping.watch(len(images))
        return super().logits(images)


def predictor_of(model: Objects | LabelMaps, **options: Any) -> Predictor:
    palette = ((10, 20, 30), (200, 100, 50))[-len(model.classes) :]
    return Predictor(model, device="cpu", palette=palette, name="a model", **({"tiling": TILING} | options))


class FullDisk:
    """A file that accepts so many bytes, half of what is written then, and nothing more."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        if len(data) > self._room:
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._room -= len(data)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def blank(height: int, width: int) -> Tensor:
    return torch.zeros((3, height, width), dtype=torch.uint8)
