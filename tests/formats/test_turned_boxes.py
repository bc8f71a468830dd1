"""Boxes that are turned, as CVAT writes them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from toolkit.errors import DataError
from toolkit.formats.turned_boxes import hull, is_upright, rotation_of, turned


@pytest.mark.parametrize("degrees", [0, 17.5, 45, 90, 135, 180, 270, 359])
def test_corners_keep_their_distances_and_turn_clockwise(degrees: float) -> None:
    box = (10.0, 8.0, 30.0, 18.0)
    points = turned(box, degrees)
    corners = [complex(x, y) for x, y in zip(points[::2], points[1::2], strict=True)]
    assert abs(corners[1] - corners[0]) == pytest.approx(20)
    assert abs(corners[2] - corners[1]) == pytest.approx(10)
    assert sum(corners) / 4 == pytest.approx(complex(20, 13))
    # y points down, so that an angle that grows turns clockwise on the screen
    direction = corners[1] - corners[0]
    assert math.degrees(math.atan2(direction.imag, direction.real)) % 360 == pytest.approx(degrees, abs=1e-9)


def test_the_hull_of_a_box_that_is_turned_by_a_quarter() -> None:
    assert hull(turned((10, 8, 30, 18), 90)) == pytest.approx((15, 3, 25, 23))
    assert hull(turned((10, 8, 30, 18), 180)) == pytest.approx((10, 8, 30, 18))


def test_the_angle_is_an_attribute() -> None:
    assert rotation_of({}, "f") == 0
    assert rotation_of({"attributes": {"occluded": True}}, "f") == 0
    assert rotation_of({"attributes": {"rotation": 0.0}}, "f") == 0
    assert rotation_of({"attributes": {"rotation": -90}}, "f") == 270
    assert rotation_of({"attributes": None, "angle": 0}, "f") == 0


@pytest.mark.parametrize(
    "record",
    [{"rotation": 30}, {"angle": -0.5}, {"theta": "1"}, {"attributes": {"rotation": "45"}}]
    + [{"attributes": {"rotation": value}} for value in (math.nan, True, [1], 10**400)],
)
def test_angles_that_are_not_understood(record: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^f has .* Hint: "):
        rotation_of(record, "f")


@pytest.mark.parametrize(
    ("segmentation", "upright"),
    [
        ([[10, 8, 30, 8, 30, 18, 10, 18]], True),
        ([[30.0, 18.0, 10, 18, 10, 8, 30, 8, 30, 18]], True),
        ([[10, 8, 30, 8, 30, 18, 11, 18]], False),
        ([[10, 8, 30, 8, 30, 18]], False),
        ([], False),
        ([[10, 8, 30, 8, 30, 18, 10, "18"]], False),
        ({"size": [1, 1], "counts": []}, False),
        (None, False),
    ],
)
def test_a_segmentation_that_is_no_more_than_the_box(segmentation: Any, upright: bool) -> None:
    assert is_upright(segmentation, (10, 8, 30, 18)) is upright
