"""What the common part of the annotation readers promises: numbers are checked, round shapes are exact,
faults name the record.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import DataError
from toolkit.formats.regions import (
    Region,
    check_stated_size,
    ellipse,
    numbers,
    polygon,
    rectangle,
    to_instances,
    unique_ids,
)
from toolkit.types import Masks

SIZE = (9, 12)


def decoded(code: bytes, size: tuple[int, int] = SIZE) -> np.ndarray:
    return Masks(size, (code,)).dense()[0].numpy()


@settings(deadline=None)
@given(
    st.tuples(st.floats(-3, 15), st.floats(-3, 12)),
    st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)),
    st.floats(-7, 7),
)
def test_an_ellipse_has_the_pixels_whose_centers_it_holds(
    center: tuple[float, float], radii: tuple[float, float], theta: float
) -> None:
    mask = decoded(ellipse(center, radii, theta, SIZE, "f"))
    turn = complex(math.cos(theta), -math.sin(theta))
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            point = complex(x + 0.5 - center[0], y + 0.5 - center[1]) * turn
            distance = math.hypot(point.real / radii[0], point.imag / radii[1])
            assert mask[y, x] == (distance <= 1) or abs(distance - 1) < 1e-9


def test_theta_turns_from_x_toward_y() -> None:
    """As on a canvas, whose y points down."""
    mask = decoded(ellipse((6, 4.5), (5, 0.8), math.pi / 4, SIZE, "f"))
    ys, xs = np.nonzero(mask)
    assert len(xs) > 3
    assert np.corrcoef(xs, ys)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("center", "radii", "theta"),
    [((1, 2), (0, 1), 0), ((1, 2), (1, -1), 0), ((math.nan, 2), (1, 1), 0), ((1, 2), (1, 1), math.inf)],
)
def test_what_is_no_ellipse(center: tuple[float, float], radii: tuple[float, float], theta: float) -> None:
    with pytest.raises(DataError, match=r"^here: .* do not form an ellipse"):
        ellipse(center, radii, theta, SIZE, "here")


@settings(deadline=None)
@given(st.integers(0, 11), st.integers(0, 8), st.integers(1, 12), st.integers(1, 9))
def test_a_rectangle_on_whole_numbers_is_exact(x: int, y: int, width: int, height: int) -> None:
    expected = np.zeros(SIZE, bool)
    expected[y : y + height, x : x + width] = True
    region = Region(0, "f", (rectangle(x, y, x + width, y + height),))
    instances = to_instances([region], SIZE)
    assert instances.masks is not None
    assert np.array_equal(instances.masks.dense()[0].numpy(), expected)
    assert instances.boxes_xyxy.tolist() == [[x, y, min(12, x + width), min(9, y + height)]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("1,2", r"must be a list of numbers, not '1,2'"),
        (None, r"must be a list of numbers, not None"),
        ([1, 2, "3", 4, 5, 6], r"has '3' among its numbers"),
        ([1, 2, math.nan, 4, 5, 6], r"has nan among its numbers"),
        ([1, 2, -math.inf, 4, 5, 6], r"has -inf among its numbers"),
        ([1, 2, True, 4, 5, 6], r"has True among its numbers"),
        ([], r"has 0 numbers; expected x, y for at least three points"),
        ([1, 2, 3, 4], r"has 4 numbers"),
        ([1, 2, 3, 4, 5, 6, 7], r"has 7 numbers"),
        ([1, 2, 10**400, 4, 5, 6], r"has 1000000.* among its numbers"),
    ],
)
def test_faulty_polygons(values: object, message: str) -> None:
    with pytest.raises(DataError, match=f"^f.json: record 3: the polygon {message}"):
        polygon(values, "f.json: record 3")


def test_a_region_without_a_pixel() -> None:
    for shape in (rectangle(3, 3, 3, 7), rectangle(-4, 1, -1, 5), (1, 1, 4, 4, 8, 8)):
        with pytest.raises(DataError, match=r"^record 3 covers no pixels of the image \(12 x 9\)"):
            to_instances([Region(0, "record 3", (shape,))], SIZE)


def test_no_regions() -> None:
    none = to_instances([], SIZE, num_keypoints=2)
    assert len(none) == 0
    assert none.masks == Masks(SIZE)
    assert none.keypoints is not None
    assert none.keypoints.shape == (0, 2, 3)
    assert none.is_crowd is None


def test_all_that_is_known_is_kept() -> None:
    square = (rectangle(1, 1, 4, 4),)
    regions = [
        Region(2, "a", square, keypoints=(1, 2, 2, 3, 4, 1)),
        Region(0, "b", square, box_xyxy=(0.5, 1, 4, 4.25), is_crowd=True),
    ]
    both = to_instances(regions, SIZE, num_keypoints=2)
    assert both.labels.tolist() == [2, 0]
    assert both.boxes_xyxy.tolist() == [[1, 1, 4, 4], [0.5, 1, 4, 4.25]]
    assert both.is_crowd is not None
    assert both.is_crowd.tolist() == [False, True]
    assert torch.equal(both.keypoints, torch.tensor([[[1.0, 2, 2], [3, 4, 1]], [[0, 0, 0], [0, 0, 0]]]))


def test_boxes_without_masks() -> None:
    boxes = [Region(0, "a", box_xyxy=(1, 1, 4, 4)), Region(0, "b", box_xyxy=(2, 1, 4, 4))]
    assert to_instances(boxes, SIZE).masks is None
    with pytest.raises(DataError, match="^a has no mask, but other objects"):
        to_instances([boxes[0], Region(0, "c", (rectangle(1, 1, 4, 4),))], SIZE)


def test_ids_keep_the_suffix_where_they_must() -> None:
    assert unique_ids(["a.jpg", "x/b.PNG", "c.d", "e.jpg", "e.png"]) == ("a", "x/b", "c.d", "e.jpg", "e.png")


def test_what_is_no_list_of_numbers() -> None:
    with pytest.raises(DataError, match=r"record: numbers must be a list"):
        numbers(3, "record", "numbers")


@pytest.mark.parametrize("stated", [(9, 12), (9.0, 12), (None, 12), (None, None)])
def test_the_size_that_a_file_states(stated: tuple[object, object]) -> None:
    check_stated_size(stated, SIZE, "f")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ((12, 9), "f should have 9 x 12 pixels, but the file has 12 x 9. Hint: use the image that was"),
        ((10, None), "f should have 12 x 10 pixels"),
        (("9", 12), "f has '9' as the height of the image; expected a whole number of pixels"),
        ((9, 12.5), "f has 12.5 as the width of the image"),
        ((9, True), "f has True as the width"),
        ((9, [12]), "f has \\[12\\] as the width"),
        ((math.nan, 12), "f has nan as the height"),
    ],
)
def test_the_size_that_a_file_states_wrongly(stated: tuple[object, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_stated_size(stated, SIZE, "f")
