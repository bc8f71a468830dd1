"""Windows that cover an image."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.models.window_grid import grid, starts


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("window", [1, 2, 7, 32, 100])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 64, 500])
def test_windows_cover_everything_evenly_with_enough_overlap(
    length: int, window: int, overlap: float
) -> None:
    window = min(window, length)
    tops = starts(length, window, overlap)
    assert tops[0] == 0
    assert tops[-1] + window == length
    assert tops == sorted(set(tops))
    steps = np.diff(tops)
    assert (steps <= max(1, int(window * (1 - overlap)))).all()
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


@pytest.mark.parametrize("size", [(1, 1), (50, 30), (64, 200), (31, 97)])
@pytest.mark.parametrize(("window", "overlap"), [(16, 0), (31, 0.25), (32, 0.5), (500, 0.25)])
def test_each_pixel_is_of_one_window_the_one_whose_center_is_nearest(
    size: tuple[int, int], window: int, overlap: float
) -> None:
    counts = np.zeros(size, int)
    nearest = np.full(size, np.inf)
    own = np.full(size, np.inf)
    rows, columns = np.indices(size) + 0.5
    for each in (each for row in grid(size, window, overlap) for each in row):
        place, ours = each.place, each.own
        assert ours == ours.intersection(place)
        counts[ours.top : ours.bottom, ours.left : ours.right] += 1
        away = np.maximum(
            abs(rows - (place.top + place.bottom) / 2), abs(columns - (place.left + place.right) / 2)
        )
        nearest = np.minimum(nearest, away)
        inside = np.s_[ours.top : ours.bottom, ours.left : ours.right]
        own[inside] = away[inside]
    assert (counts == 1).all()
    assert (own <= nearest + 1).all()


def test_edges_of_the_image_are_no_seams() -> None:
    ((one, other), *_) = grid((50, 80), 50, 0.25)
    assert one.seams().right == 50
    assert other.seams().left == 30
    assert min(one.seams().left, one.seams().top, other.seams().top) < -1000
    assert min(one.seams().bottom, other.seams().right) > 1000
