"""Figures of shapes against scikit-image's, on generated masks with holes, parts and edges.

All are equal to 1e-9, with these exceptions:

- ``orientation`` is counted in degrees from the x axis, and is undefined where both axes are the same,
  where scikit-image gives 45 degrees, or what rounding makes of it.
- ``width`` is exact. Where it is almost 0, scikit-image's has the rounding errors of its moments, whose
  square root is up to 1e-6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon
from skimage.measure import label, regionprops_table
from skimage.morphology import convex_hull_image

from toolkit.measuring.shapes import Moments, convex_area, parts_and_holes, perimeter

PROPERTIES = (
    *("area", "perimeter", "axis_major_length", "axis_minor_length", "area_convex", "orientation"),
    *("euler_number", "centroid"),
)


def blob(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(rng.random((height, width)), rng.uniform(0.4, 4), mode="nearest")
    return noise > np.quantile(noise, rng.uniform(0.2, 0.97))


def angular(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    corners = int(rng.integers(3, 9))
    mask[polygon(rng.uniform(-5, height + 5, corners), rng.uniform(-5, width + 5, corners), mask.shape)] = (
        True
    )
    return mask


def thin(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    steps = np.arange(min(height, width))
    mask[steps, steps[:: -1 if rng.random() < 0.5 else 1]] = True
    mask[int(rng.integers(height))] |= rng.random() < 0.3
    return mask


def scattered(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    return rng.random((height, width)) < rng.uniform(0.02, 0.98)


def generated(count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Masks of all kinds, cropped to their pixels; every third one fills its frame."""
    rng = np.random.default_rng(seed)
    kinds = (blob, angular, thin, scattered)
    for number in range(count):
        height, width = rng.integers(1, 90, 2)
        mask = kinds[number % 4](rng, int(height), int(width))
        mask[int(rng.integers(height)), int(rng.integers(width))] = True
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        yield mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)


def compare(mask: NDArray[np.uint8]) -> None:
    # in a frame, so that theirs is measured as an object inside an image
    theirs = {
        name: float(values[0])
        for name, values in regionprops_table(np.pad(mask, 1).astype(int), properties=PROPERTIES).items()
    }
    moments = Moments.of(mask)
    length, width = moments.axes()
    parts, holes = parts_and_holes(mask)
    same = {
        "area": float(moments.area),
        "perimeter": perimeter(mask),
        "axis_major_length": length,
        "area_convex": float(convex_area(mask)),
        "euler_number": float(parts - holes),
        "centroid-0": moments.y + 1,
        "centroid-1": moments.x + 1,
    }
    for name, ours in same.items():
        assert ours == pytest.approx(theirs[name], rel=1e-9, abs=1e-9), name
    assert parts == label(mask, connectivity=2).max()
    tolerance = 1e-9 if width > 1e-3 else 1e-6
    assert width == pytest.approx(theirs["axis_minor_length"], rel=1e-9, abs=tolerance)
    angle = moments.angle()
    if math.isnan(angle):
        assert length == pytest.approx(width, rel=1e-12)
    else:
        off = abs(angle - (math.degrees(theirs["orientation"]) + 90)) % 180
        # rounding turns an axis that is hardly longer than the other
        assert min(off, 180 - off) < 1e-7 / min(1.0, (length - width) / length)


@pytest.mark.filterwarnings("ignore:Failed to get convex hull image:UserWarning")
def test_as_scikit_image() -> None:
    for mask in generated(200, seed=0):
        compare(mask)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Failed to get convex hull image:UserWarning")
def test_a_thousand_masks_as_scikit_image() -> None:
    for mask in generated(1000, seed=1):
        compare(mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 3)])
def test_the_smallest(shape: tuple[int, int]) -> None:
    mask = np.ones(shape, np.uint8)
    assert convex_area(mask) == mask.size
    assert parts_and_holes(mask) == (1, 0)
    length, width = Moments.of(mask).axes()
    assert length == pytest.approx(4 * math.sqrt((max(shape) ** 2 - 1) / 12))
    assert width == pytest.approx(4 * math.sqrt((min(shape) ** 2 - 1) / 12))
    assert math.isnan(Moments.of(mask).angle()) == (shape[0] == shape[1])


def test_the_hull_of_a_line_is_exact() -> None:
    """The hull of pixels (0, 0) and (3, 1) goes between their sides; (1, 0) and (2, 1) touch it."""
    mask = np.zeros((2, 4), np.uint8)
    mask[0, 0] = mask[1, 3] = 1
    assert convex_area(mask) == convex_hull_image(mask).sum()


def test_a_hole_in_a_hole() -> None:
    mask = np.ones((9, 9), np.uint8)
    mask[1:-1, 1:-1] = 0
    mask[3:-3, 3:-3] = 1
    mask[4, 4] = 0
    assert parts_and_holes(mask) == (2, 2)


def test_holes_have_4_neighbors() -> None:
    mask = np.ones((4, 4), np.uint8)
    mask[1, 1] = mask[2, 2] = 0
    assert parts_and_holes(mask) == (1, 2)
    # a gap at a corner does not open a hole, since the parts around it are connected there
    mask = np.ones((3, 3), np.uint8)
    mask[1, 1] = mask[0, 0] = 0
    assert parts_and_holes(mask) == (1, 1)


def test_axes_of_pixels_that_are_not_square() -> None:
    """Against the same object with each pixel of 1 x 3 cut into square ones."""
    rng = np.random.default_rng(3)
    mask = scattered(rng, 20, 30).astype(np.uint8)
    fine = np.repeat(mask, 3, axis=0)
    # pixels of 3 have a spread of their own, (9 - 1) / 12, that their middles do not have
    fine_moments = Moments.of(fine)
    moments = Moments.of(mask)
    assert moments.xx == pytest.approx(fine_moments.xx)
    assert moments.yy * 9 == pytest.approx(fine_moments.yy - 8 / 12)
    assert moments.xy * 3 == pytest.approx(fine_moments.xy)
    turned = Moments.of(np.ascontiguousarray(mask.T))
    assert moments.axes(1, 3) == pytest.approx(turned.axes(3, 1))
