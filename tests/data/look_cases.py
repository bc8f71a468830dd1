"""Generated photos, what they look like, and ways to save them again."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

from toolkit.data.image_looks import Look, look_of

Pixels = np.ndarray


def scene(seed: int, size: tuple[int, int] = (120, 160)) -> Pixels:
    """A few soft patches of color, uint8 ``[H, W, 3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def look(pixels: Pixels) -> Look:
    return look_of(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))


def as_jpeg(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1))


def as_noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)


CHANGES: list[Callable[[Pixels], Pixels]] = [
    as_jpeg,
    lambda p: np.asarray(cv2.resize(p, (80, 60), interpolation=cv2.INTER_AREA)),
    lambda p: np.asarray(cv2.resize(p, (400, 300), interpolation=cv2.INTER_LINEAR)),
    lambda p: cv2.convertScaleAbs(p, alpha=0.8, beta=20),
    lambda p: cv2.add(p, np.random.default_rng(0).integers(0, 12, p.shape, dtype=np.uint8)),
]
