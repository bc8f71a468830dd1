"""What a window shows of objects: areas, bounds, and the distance to the seams."""

from __future__ import annotations

import numpy as np
from merging_cases import at

from toolkit.models.window_parts import MARGIN, Shown, parts_of
from toolkit.types.pixel_runs import Rectangle, runs_of_box

SIZE = (100, 200)
RIGHT = at(0, 80, (100, 120), SIZE)
"""Only its left edge is a seam."""


def test_parts_know_their_place() -> None:
    boxes = [
        Rectangle(0, 80 + MARGIN + 1, 100, 200),
        Rectangle(10, 80 + MARGIN, 20, 90),
        Rectangle(5, 5, 5, 9),
    ]
    runs = [runs_of_box(box) for box in boxes]
    whole, cut, empty = parts_of(3, RIGHT, [7, 8, 9], runs)
    assert (whole.window, whole.label, whole.bounds, whole.area) == (3, 7, boxes[0], 100 * (120 - MARGIN - 1))
    assert whole.is_whole
    assert whole.depth == MARGIN + 1
    assert not cut.is_whole
    assert (empty.area, empty.bounds) == (0, Rectangle(0, 0, 0, 0))
    assert parts_of(3, RIGHT, [], []) == []


def test_what_is_shown_as_arrays() -> None:
    boxes = [Rectangle(1, 90, 5, 99), Rectangle(2, 91, 6, 95)]
    shown = Shown(RIGHT, parts_of(0, RIGHT, [4, 5], [runs_of_box(box) for box in boxes]))
    assert np.array_equal(shown.bounds, boxes)
    assert shown.labels.tolist() == [4, 5]
    assert Shown(RIGHT, []).bounds.shape == (0, 4)
