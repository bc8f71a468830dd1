"""Coordinates outside of the image: a few pixels are forgiven, more is told once for all objects of an"
" image."""

from __future__ import annotations

import math

import pytest

from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds
from toolkit.formats.regions import Region, rectangle

SIZE = (40, 50)


def test_a_few_pixels_are_forgiven() -> None:
    bounds = Bounds(SIZE)
    inside = (0.0, 0.0, 50.0, 0.0, 50.0, 40.0)
    near = (-6.0, -5.5, 56.0, 3.0, 20.0, 46.0)
    assert bounds.look(inside, "f: 1") == inside
    assert bounds.look(near, "f: 2") == near
    assert bounds.look((), "f: 3") == ()
    regions = [Region(0, "f: 1", (inside,))]
    assert bounds.finish(regions) == regions


def test_large_images_forgive_more() -> None:
    Bounds((3000, 4000)).look((4039.0, -29.0, 1.0, 1.0), "f: 1")
    bounds = Bounds((3000, 4000))
    bounds.look((4041.0, 5.0), "f: 1")
    with pytest.raises(DataError, match="reaches 4041, outside the image of 4000 x 3000"):
        bounds.finish([])


def test_all_objects_are_told_at_once() -> None:
    bounds = Bounds(SIZE)
    bounds.look((1.0, 2.0, 58.0, 3.0, 70.0, 4.0), "file.json: annotation 3 of image 1")
    bounds.look((1.0, 2.0, 3.0, 4.0), "file.json: annotation 4 of image 1")
    bounds.look((1.0, -15.0, 3.0, 4.0), "file.json: annotation 5 of image 1")
    bounds.look_box((2.0, 2.0, 9.0, 47.0), "file.json: annotation 5 of image 1")
    with pytest.raises(DataError) as caught:
        bounds.finish([])
    message = str(caught.value)
    assert message.startswith("file.json: annotation 3 of image 1 (and 1 more")
    assert "annotation 5 of image 1" in message
    assert "annotation 4" not in message
    assert "reaches 70, outside the image of 50 x 40 pixels: 4 of 7 points" in message
    assert "rotated, cropped or resized" in message


def test_many_objects_are_counted() -> None:
    bounds = Bounds(SIZE)
    for number in range(30):
        bounds.look((99.0, 0.0), f"f: record {number}")
    with pytest.raises(DataError, match=r"\(and 29 more .*record 5, … \(30 in all\)\)"):
        bounds.finish([])


def test_where_faults_are_gathered_the_objects_stay_harmless() -> None:
    """Nothing that follows has to count with coordinates of any size."""
    with gathering() as faults:
        bounds = Bounds(SIZE)
        flat = bounds.look((1e300, -1e300, 2.0, 3.0, 4.0, 5.0), "f: 1")
        bounds.finish([])
    assert len(faults) == 1
    assert all(math.isfinite(value) and abs(value) <= 100 for value in flat)


def test_objects_can_be_cut_off() -> None:
    bounds = Bounds(SIZE, "clip")
    outline = bounds.look(rectangle(40, 30, 65, 60), "f: 1")
    inner = bounds.look(rectangle(1, 1, 5, 5), "f: 2")
    with noting() as notes:
        first, second = bounds.finish([Region(0, "f: 1", (outline,)), Region(1, "f: 2", (inner,))])
    assert first.polygons == ()
    assert first.counts(SIZE) == Region(0, "x", (rectangle(40, 30, 50, 40),)).counts(SIZE)
    assert second.polygons == (inner,)
    assert sum(notes.values()) == 1
    assert bounds.look_box((-30.0, 2.0, 9.0, 90.0), "f: 3") == (0.0, 2.0, 9.0, 40.0)


def test_what_is_farther_away_than_the_image_is_large_cannot_be_cut_off() -> None:
    with pytest.raises(DataError, match="f: 1 reaches 500, outside") as caught:
        Bounds(SIZE, "clip").look((1.0, 2.0, 500.0, 3.0, 4.0, 4.0), "f: 1")
    assert "outside=clip" not in str(caught.value)


def test_an_object_without_a_pixel_in_the_image_does_not_hide_the_others() -> None:
    with gathering() as faults:
        bounds = Bounds(SIZE, "clip")
        beyond = bounds.look(rectangle(60, 1, 70, 9), "f: 1")
        kept = bounds.finish([Region(0, "f: 1", (beyond,)), Region(0, "f: 2", (rectangle(1, 1, 5, 5),))])
    assert [region.where for region in kept] == ["f: 2"]
    assert "f: 1 covers no pixels" in faults[0]
