"""What outlines promise: filled again, they are the mask, whatever its parts, holes and corners that
touch.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from toolkit.formats.outlines import one_polygon, rings
from toolkit.types import Masks


def filled(polygon: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    return Masks.from_polygons([[polygon]], size).dense()[0].numpy()


@settings(deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_any_mask_comes_back(mask: np.ndarray) -> None:
    if mask.any():
        assert np.array_equal(filled(one_polygon(mask), mask.shape), mask)


@pytest.mark.parametrize("seed", range(6))
def test_larger_masks_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((90, 140)), (0, 0), rng.uniform(1, 8))
    mask = noise > np.quantile(noise, rng.uniform(0.1, 0.9))
    assert np.array_equal(filled(one_polygon(mask), mask.shape), mask)


@settings(deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=8)))
def test_rings_run_along_the_boundary_once(mask: np.ndarray) -> None:
    """Each edge between a pixel that is set and one that is not is walked exactly once, and no other is."""
    padded = np.pad(mask, 1)
    expected = {(x, y, x, y + 1) for y, x in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])}
    expected |= {(x, y, x + 1, y) for y, x in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])}
    walked = []
    for ring in rings(mask):
        for (x0, y0), (x1, y1) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
            assert (x0 == x1) != (y0 == y1)
            walked += [(x, y0, x + 1, y0) for x in range(min(x0, x1), max(x0, x1))]
            walked += [(x0, y, x0, y + 1) for y in range(min(y0, y1), max(y0, y1))]
    assert len(walked) == len(set(walked))
    assert set(walked) == expected


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 6), st.integers(1, 6))
def test_a_rectangle_has_four_corners(x: int, y: int, width: int, height: int) -> None:
    mask = np.zeros((12, 12), bool)
    mask[y : y + height, x : x + width] = True
    assert len(one_polygon(mask)) == 8
