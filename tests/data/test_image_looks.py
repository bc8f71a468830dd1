"""Copies are found however they were saved, other images are not, and thousands take seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from toolkit.data.image_looks import SIDE, Look, look_of

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


def apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


CHANGES: list[Callable[[Pixels], Pixels]] = [
    as_jpeg,
    lambda p: np.asarray(cv2.resize(p, (80, 60), interpolation=cv2.INTER_AREA)),
    lambda p: np.asarray(cv2.resize(p, (400, 300), interpolation=cv2.INTER_LINEAR)),
    lambda p: cv2.convertScaleAbs(p, alpha=0.8, beta=20),
    lambda p: cv2.add(p, np.random.default_rng(0).integers(0, 12, p.shape, dtype=np.uint8)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_hashes_hardly_change_when_an_image_is_saved_again(change: Callable[[Pixels], Pixels]) -> None:
    for seed in range(5):
        one, other = look(scene(seed)), look(change(scene(seed)))
        assert all(apart(a, b) <= 8 for a, b in zip(one.hashes, other.hashes, strict=True))
        stranger = look(scene(seed + 100))
        assert all(apart(a, b) >= 12 for a, b in zip(one.hashes, stranger.hashes, strict=True))


def test_features_are_what_they_say() -> None:
    flat = look(np.full((50, 100, 3), 60, np.uint8))
    brightness, contrast, saturation, sharpness, aspect, size = flat.features.tolist()
    assert (brightness, contrast, saturation, sharpness) == (60, 0, 0, 0)
    assert aspect == pytest.approx(np.log(2))
    assert size == pytest.approx(np.log(5000))
    assert flat.is_flat
    red = np.zeros((64, 64, 3), np.uint8)
    red[:32, :, 0] = 200
    found = look(red)
    assert found.features[2] == 100
    assert not found.is_flat
    blurred = look(cv2.GaussianBlur(scene(1), (31, 31), 9))
    assert blurred.features[3] < look(scene(1)).features[3] < look(as_noise(1)).features[3]


def as_noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def test_one_pixel_and_long_strips_are_images_too() -> None:
    for size in ((1, 1), (1, 500), (700, 2)):
        found = look(np.full((*size, 3), 7, np.uint8))
        assert found.gray.shape == (SIDE, SIDE)
        assert np.isfinite(found.features).all()


def test_it_is_quick() -> None:
    image = torch.from_numpy(scene(0, (1000, 1500))).permute(2, 0, 1)
    start = time.perf_counter()
    for _ in range(10):
        look_of(image)
    assert time.perf_counter() - start < 3, "a small part of decoding such a photo"
