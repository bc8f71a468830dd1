"""Hashes and features of images."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from look_cases import CHANGES, Pixels, as_noise, look, scene

from toolkit.data.image_looks import SIDE


def apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


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


def test_one_pixel_and_long_strips_are_images_too() -> None:
    for size in ((1, 1), (1, 500), (700, 2)):
        found = look(np.full((*size, 3), 7, np.uint8))
        assert found.gray.shape == (SIDE, SIDE)
        assert np.isfinite(found.features).all()
