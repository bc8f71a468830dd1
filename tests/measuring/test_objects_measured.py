"""Figures of objects against scikit-image on the whole image, and naive sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, regionprops_table

from toolkit.measuring.objects import COLORS, SHAPE, measure_masks
from toolkit.types import Instances, Masks

SAME = {
    "area": "area",
    "perimeter": "perimeter",
    "length": "axis_major_length",
    "width": "axis_minor_length",
    "equivalent_diameter": "equivalent_diameter_area",
    "solidity": "solidity",
}
"""Columns whose definition is scikit-image's."""


def objects_of(dense: NDArray[np.bool_]) -> Instances:
    masks = Masks.from_dense(dense)
    labels = torch.zeros(len(dense), dtype=torch.int64)
    return Instances(masks.size, masks.boxes_xyxy(), labels, masks)


def drawn(seed: int, height: int, width: int) -> NDArray[np.bool_]:
    """Blobs with holes and several parts, some at the edge of the image; none without pixels."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random((4, height, width)), (0, 1.5, 1.5), mode="nearest")
    dense: NDArray[np.bool_] = noise > np.quantile(noise, [0.3, 0.5, 0.7, 0.9])[:, None, None]
    dense[:, height // 2, width // 2] = True
    return dense


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(4, 50), width=st.integers(4, 50))
def test_as_scikit_image(seed: int, height: int, width: int) -> None:
    dense = drawn(seed, height, width)
    for mask, found in zip(dense, measure_masks(objects_of(dense)), strict=True):
        properties = (*SAME.values(), "euler_number", "centroid")
        expected = {
            name: float(v[0])
            for name, v in regionprops_table(mask.astype(int), properties=properties).items()
        }
        for name, theirs in SAME.items():
            assert found[name] == pytest.approx(expected[theirs], rel=1e-9, abs=1e-9), name
        assert found["parts"] - found["holes"] == expected["euler_number"]
        assert found["parts"] == label(mask, connectivity=2).max()
        assert found["centroid_x"] == pytest.approx(expected["centroid-1"] + 0.5, rel=1e-9)
        assert found["centroid_y"] == pytest.approx(expected["centroid-0"] + 0.5, rel=1e-9)
        framed = np.zeros_like(mask)
        framed[1:-1, 1:-1] = True
        assert found["touches_edge"] == bool((mask & ~framed).any())


@pytest.mark.parametrize(
    ("angle", "degrees"), [(0, 0), (30, 30), (90, 90), (120, -60), (150, -30)], ids=lambda value: str(value)
)
def test_orientation_is_counted_from_the_x_axis(angle: float, degrees: float) -> None:
    y, x = np.mgrid[-100:101, -100:101]
    radians = math.radians(angle)
    # y points down in the picture, and the angle is that which a person sees
    along, across = (
        x * math.cos(radians) - y * math.sin(radians),
        x * math.sin(radians) + y * math.cos(radians),
    )
    (found,) = measure_masks(objects_of(((along / 80) ** 2 + (across / 20) ** 2 < 1)[None]))
    off = abs(found["orientation"] - degrees)
    assert min(off, 180 - off) < 0.5
    assert found["length"] == pytest.approx(160, rel=0.01)
    assert found["width"] == pytest.approx(40, rel=0.02)


@pytest.mark.parametrize("shape", ["pixel", "row", "column", "diagonal"])
def test_objects_without_width(shape: str) -> None:
    mask = np.zeros((9, 9), bool)
    if shape == "diagonal":
        mask[range(2, 6), range(2, 6)] = True
    else:
        mask[2 : 6 if shape == "column" else 3, 2 : 6 if shape == "row" else 3] = True
    (found,) = measure_masks(objects_of(mask[None]))
    assert found["area"] == mask.sum()
    assert found["parts"] == 1
    assert found["holes"] == 0


def test_an_object_without_pixels() -> None:
    (found,) = measure_masks(objects_of(np.zeros((1, 5, 6), bool)), torch.zeros(3, 5, 6, dtype=torch.uint8))
    assert found["area"] == 0
    assert all(math.isnan(found[name]) for name in (*SHAPE[1:], *COLORS))


def test_colors() -> None:
    dense = drawn(3, 20, 30)
    image = np.random.default_rng(1).integers(0, 256, (3, 20, 30), np.uint8)
    for mask, found in zip(dense, measure_masks(objects_of(dense), torch.from_numpy(image)), strict=True):
        for channel, name in enumerate(("red", "green", "blue")):
            values = image[channel][mask].astype(float)
            mean = values.sum() / len(values)
            assert found[f"mean_{name}"] == pytest.approx(mean)
            assert found[f"std_{name}"] == pytest.approx(
                math.sqrt(((values - mean) ** 2).sum() / len(values))
            )


def test_no_objects() -> None:
    assert list(measure_masks(objects_of(np.zeros((0, 5, 6), bool)))) == []
