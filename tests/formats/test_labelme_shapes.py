"""Shapes of LabelMe and of tools that write the same format: the geometry is read, or refused by name."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds
from toolkit.formats.labelme_shapes import region_of_shape
from toolkit.formats.regions import Region
from toolkit.types import Masks

SIZE = (20, 30)


def region(shape: dict[str, Any]) -> Region | None:
    bounds = Bounds(SIZE)
    found = region_of_shape(shape, bounds, "f: shape 0", 1)
    bounds.finish([])
    return found


def mask_of(shape: dict[str, Any]) -> np.ndarray:
    found = region(shape)
    assert found is not None
    return Masks(SIZE, (found.counts(SIZE),)).dense()[0].numpy()


def png(width: int, height: int) -> str:
    return base64.b64encode(cv2.imencode(".png", np.full((height, width), 255, np.uint8))[1]).decode()


def test_rectangles_of_two_and_of_four_points() -> None:
    two = mask_of({"shape_type": "rectangle", "points": [[9, 12], [4, 3]]})
    four = mask_of({"shape_type": "rectangle", "points": [[4, 3], [9, 3], [9, 12], [4, 12]]})
    assert np.array_equal(two, four)
    assert two.sum() == 45
    for points in ([[1, 2]], [[1, 2], [3, 4], [5, 6]], []):
        with pytest.raises(DataError, match="a rectangle has two points"):
            region({"shape_type": "rectangle", "points": points})


@pytest.mark.parametrize("kind", ["rotation", "oriented_rectangle", "polygon", None])
def test_turned_rectangles_are_polygons(kind: str | None) -> None:
    points = [[10, 2], [18, 10], [10, 18], [2, 10]]
    found = region({"shape_type": kind, "points": points, "direction": 0.78})
    assert found is not None
    assert found.polygons == ((10, 2, 18, 10, 10, 18, 2, 10),)


@pytest.mark.parametrize(
    ("points", "width", "height"),
    [
        ([[7, 3], [11, 9]], 5, 7),
        ([[7.4, 3.4], [11.4, 9.4]], 5, 7),
        ([[7, 3], [12, 10]], 5, 7),  # some write the corner after the last pixel
    ],
)
def test_a_mask_lies_between_its_points(points: list[list[float]], width: int, height: int) -> None:
    expected = np.zeros(SIZE, bool)
    expected[3 : 3 + height, 7 : 7 + width] = True
    mask = mask_of({"shape_type": "mask", "points": points, "mask": png(width, height)})
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize(
    ("points", "width", "height"),
    [([[2, 2], [6, 5]], 10, 8), ([[2, 2], [21, 17]], 10, 8), ([[2, 2], [11, 2]], 10, 8)],
)
def test_a_mask_of_another_scale_than_its_points(points: list[list[float]], width: int, height: int) -> None:
    with pytest.raises(DataError, match=rf"its mask has {width} x {height} pixels, but its points span"):
        region({"shape_type": "mask", "points": points, "mask": png(width, height)})


def test_what_has_no_area_and_what_is_unknown() -> None:
    square = [[1, 2], [9, 2], [9, 9]]
    early = (region({"points": square}), region({"points": square, "shape_type": None}))
    assert early[0] == early[1] == region({"points": square, "shape_type": ""})
    for kind in ("point", "points", "line", "linestrip"):
        assert region({"shape_type": kind, "points": "whatever"}) is None
    for kind in ("cuboid", 5, 0, False, [], ["polygon"], {}, {"a": 1}):
        with pytest.raises(DataError, match="which is unknown; expected polygon, rectangle, circle or mask"):
            region({"shape_type": kind, "points": [[1, 2], [3, 4]]})


@pytest.mark.parametrize("kind", ["polygon", "rectangle", "circle"])
def test_shapes_outside_of_the_image(kind: str) -> None:
    points = [[45, 2], [50, 4], [49, 9]] if kind == "polygon" else [[45, 2], [50, 4]]
    with pytest.raises(DataError, match=r"f: shape 0 reaches .* outside the image of 30 x 20"):
        region({"shape_type": kind, "points": points})


def test_a_circle_may_be_cut_off_by_the_border() -> None:
    mask = mask_of({"shape_type": "circle", "points": [[29, 10], [29, 19]]})
    assert mask[10, 21:30].all()
    assert not mask[:, :19].any()
