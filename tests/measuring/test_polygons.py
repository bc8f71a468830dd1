"""Polygons read back to the same pixels, and are valid."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from toolkit.measuring.polygons import Ring, polygons_of


def filled(ring: Ring, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels inside a ring: those with an odd number of vertical sides to their left."""
    sides = np.zeros((shape[0], shape[1] + 1), int)
    for (x0, y0), (x1, y1) in pairwise([*ring, ring[0]]):
        assert (x0 == x1) != (y0 == y1), "sides are horizontal or vertical"
        if x0 == x1:
            sides[min(y0, y1) : max(y0, y1), x0] += 1
    return np.cumsum(sides[:, :-1], axis=1) % 2 == 1


def check(mask: NDArray[np.uint8]) -> None:
    parts = polygons_of(mask)
    together = np.zeros(mask.shape, int)
    for outer, *holes in parts:
        part = filled(outer, mask.shape)
        for ring in (outer, *holes):
            assert len(set(ring)) == len(ring), "a ring touches itself"
            steps = [np.subtract(b, a) for a, b in pairwise([*ring, ring[0], ring[1]])]
            assert all((a * b == 0).all() for a, b in pairwise(steps)), "a corner that is none"
        for hole in holes:
            inside = filled(hole, mask.shape)
            assert (inside <= part).all(), "holes lie in the part, and not in each other"
            part &= ~inside
        assert ndimage.label(part)[1] == 1, "the inside of a part is connected"
        together += part
    assert np.array_equal(together, mask), "parts do not overlap, and cover the mask"
    assert len(parts) == ndimage.label(mask)[1]


MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1))


@settings(max_examples=300)
@given(MASKS)
@example(np.eye(3, dtype=np.uint8))
@example(1 - np.eye(4, dtype=np.uint8))
@example(np.indices((7, 7)).sum(axis=0).astype(np.uint8) % 2)
def test_any_mask(mask: NDArray[np.uint8]) -> None:
    check(mask)


@pytest.mark.parametrize("seed", range(6))
def test_blobs_with_holes_and_parts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random((60, 80)), 1.2)
    check((noise > np.quantile(noise, 0.45)).astype(np.uint8))


def test_nothing() -> None:
    assert polygons_of(np.zeros((3, 4), np.uint8)) == []


def test_a_rectangle_has_four_corners() -> None:
    mask = np.zeros((5, 6), np.uint8)
    mask[1:3, 2:5] = 1
    ((ring,),) = polygons_of(mask)
    assert sorted(ring) == [(2, 1), (2, 3), (5, 1), (5, 3)]
