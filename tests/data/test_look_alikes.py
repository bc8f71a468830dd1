from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from look_cases import CHANGES, as_noise, look, scene

from toolkit.data.image_looks import Look
from toolkit.data.look_alikes import _agree, _may_agree, look_alikes


def test_copies_are_found_and_others_are_not() -> None:
    looks: list[Look | None] = [look(scene(seed)) for seed in range(60)]
    looks += [look(change(scene(seed))) for seed, change in enumerate(CHANGES)]
    assert look_alikes(looks) == [(seed, 60 + seed) for seed in range(len(CHANGES))]


def test_the_earliest_stands_for_all() -> None:
    looks = [look(scene(1)), look(scene(2)), look(scene(1)), None, look(scene(1))]
    assert look_alikes(looks) == [(0, 2), (0, 4)]


def test_nothing_in_them_is_nothing_to_compare() -> None:
    dark = look(np.zeros((30, 30, 3), np.uint8))
    assert look_alikes([dark, dark, None]) == []
    assert look_alikes([]) == look_alikes([look(scene(1))]) == []


def test_another_shape_is_another_image() -> None:
    wide = np.asarray(cv2.resize(scene(1), (320, 120)))
    assert look_alikes([look(scene(1)), look(wide)]) == []


def test_one_object_more_is_another_image() -> None:
    """Photos of one place, as by a fixed camera, are told apart by what is in them."""
    changed = scene(1).copy()
    changed[40:80, 60:100] = 255 - changed[40:80, 60:100]
    assert look_alikes([look(scene(1)), look(changed)]) == []


def test_noise_is_no_copy_of_noise() -> None:
    assert look_alikes([look(as_noise(seed)) for seed in range(40)]) == []


def test_no_copy_is_lost_by_comparing_blocks_first() -> None:
    rng = np.random.default_rng(0)
    scenes = np.stack([look(scene(seed)).gray.ravel() for seed in range(20)]).astype(np.float64)
    noise = rng.normal(0, 1, scenes.shape) * np.linspace(0, 60, 20)[:, None]
    grays = np.concatenate([scenes, scenes + noise, scenes + noise.mean(0)]).clip(0, 255).astype(np.uint8)
    one, other = (pair.ravel() for pair in np.meshgrid(np.arange(60), np.arange(60)))
    same = _agree(grays, one, other)
    possible = _may_agree(grays, np.zeros(60, np.float32), one, other)
    assert 60 < same.sum() <= possible.sum() < len(one) / 2
    assert not (same & ~possible).any()


@pytest.mark.parametrize("kind", ["all different", "all in one entry of each table"])
def test_the_time_does_not_grow_with_the_square(kind: str) -> None:
    rng = np.random.default_rng(0)
    count = 2000
    different = kind == "all different"
    hashes = rng.integers(0, 1 << 62, (count, 2)).tolist() if different else [(5, 5)] * count
    features = np.zeros(6, np.float32)
    grays = rng.integers(0, 256, (count, 32, 32), dtype=np.uint8)
    looks = [Look(gray, (a, b), features) for gray, (a, b) in zip(grays, hashes, strict=True)]
    looks[-1] = Look(grays[-2].copy(), looks[-2].hashes, features)
    start = time.perf_counter()
    assert look_alikes(looks) == [(count - 2, count - 1)]
    assert time.perf_counter() - start < 30
