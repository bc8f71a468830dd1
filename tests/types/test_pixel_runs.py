"""Runs of pixels: every operation equals the same one on dense masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from toolkit.types import Masks
from toolkit.types.pixel_runs import (
    Rectangle,
    Runs,
    all_bounds,
    along_column,
    along_row,
    area_of,
    areas_of,
    bounds_of,
    code_of_runs,
    codes_of_runs,
    cropped,
    cropped_all,
    dense_in,
    overlap_of,
    overlaps_of,
    runs_of_box,
    runs_of_code,
    runs_of_codes,
    shrunk,
    united,
    without,
)

SIZES = [(1, 1), (1, 9), (9, 1), (7, 12), (30, 20)]


def dense_masks(size: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Empty, full, sparse, dense, stripes."""
    random = np.random.default_rng(size[0] * 100 + size[1])
    rows, columns = np.indices(size)
    return [
        np.zeros(size, bool),
        np.ones(size, bool),
        random.random(size) < 0.2,
        random.random(size) < 0.8,
        rows % 2 == 0,
        columns % 2 == 1,
        (rows >= size[0] // 2) & (columns >= size[1] // 2),
    ]


def runs_of(mask: NDArray[np.bool_]) -> Runs:
    return runs_of_code(Masks.from_dense(mask[None]).counts[0], mask.shape)


def dense_of(runs: Runs, size: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size, bool)
    for column, start, stop in runs:
        assert not mask[start:stop, column].any(), "runs overlap"
        mask[start:stop, column] = True
    return mask


def boxes(size: tuple[int, int]) -> list[Rectangle]:
    height, width = size
    return [
        Rectangle(0, 0, height, width),
        Rectangle(height // 3, width // 3, 1 + height // 2, 1 + width // 2),
        Rectangle(0, width // 2, height, width // 2),
        Rectangle(-5, -5, 2, 3),
        Rectangle(height, 0, height + 4, width),
        Rectangle(3, 2, 1, 1),
    ]


def inside(box: Rectangle, size: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = np.indices(size)
    return (rows >= box.top) & (rows < box.bottom) & (columns >= box.left) & (columns < box.right)


@pytest.mark.parametrize("size", SIZES)
def test_codes_become_runs_and_back(size: tuple[int, int]) -> None:
    for mask in dense_masks(size):
        runs = runs_of(mask)
        assert np.array_equal(dense_of(runs, size), mask)
        assert np.array_equal(runs, runs[np.lexsort((runs[:, 1], runs[:, 0]))])
        assert Masks(size, (code_of_runs(runs, size),)) == Masks.from_dense(mask[None])
        assert area_of(runs) == mask.sum()


@pytest.mark.parametrize("size", SIZES)
def test_a_code_can_be_moved_into_a_larger_image(size: tuple[int, int]) -> None:
    whole = (size[0] + 7, size[1] + 5)
    for mask in dense_masks(size):
        placed = np.zeros(whole, bool)
        placed[4 : 4 + size[0], 3 : 3 + size[1]] = mask
        runs = runs_of_code(Masks.from_dense(mask[None]).counts[0], size, top=4, left=3)
        assert code_of_runs(runs, whole) == Masks.from_dense(placed[None]).counts[0]


@pytest.mark.parametrize("size", SIZES)
def test_bounds_are_those_of_the_pixels(size: tuple[int, int]) -> None:
    for mask in dense_masks(size):
        box = Masks.from_dense(mask[None]).boxes_xyxy()[0].int().tolist()
        found = bounds_of(runs_of(mask))
        assert [found.left, found.top, found.right, found.bottom] == box


@pytest.mark.parametrize("size", SIZES)
def test_a_rectangle_can_be_cut_out_or_left_out(size: tuple[int, int]) -> None:
    for mask in dense_masks(size):
        runs = runs_of(mask)
        before = runs.copy()
        for box in boxes(size):
            within = inside(box, size)
            assert np.array_equal(dense_of(cropped(runs, box), size), mask & within)
            rest = without(runs, box)
            assert np.array_equal(dense_of(rest, size), mask & ~within)
            assert np.array_equal(rest, rest[np.lexsort((rest[:, 1], rest[:, 0]))])
        assert np.array_equal(runs, before), "the given runs were changed"


@pytest.mark.parametrize("size", SIZES)
def test_many_masks_at_once_are_as_one_after_another(size: tuple[int, int]) -> None:
    many = [runs_of(mask) for mask in dense_masks(size)]
    for chosen in (many, many[1:], many[:1], [], many[::-1]):
        assert areas_of(chosen).tolist() == [area_of(runs) for runs in chosen]
        assert all_bounds(chosen).tolist() == [list(bounds_of(runs)) for runs in chosen]
        for box in boxes(size):
            within = cropped_all(chosen, [box] * len(chosen))
            assert len(within) == len(chosen)
            assert all(np.array_equal(a, cropped(b, box)) for a, b in zip(within, chosen, strict=True))
        for other in many:
            shared = [overlap_of(runs, other) for runs in chosen]
            assert overlaps_of(chosen, [other] * len(chosen)).tolist() == shared
    places = boxes(size)
    each = cropped_all([many[3]] * len(places), places)
    assert all(np.array_equal(a, cropped(many[3], box)) for a, box in zip(each, places, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_two_masks_overlap_and_unite(size: tuple[int, int]) -> None:
    masks = dense_masks(size)
    for one in masks:
        for other in masks:
            pair = runs_of(one), runs_of(other)
            assert overlap_of(*pair) == (one & other).sum()
            assert np.array_equal(united([*pair]), runs_of(one | other))
    every = united([runs_of(mask) for mask in masks])
    assert np.array_equal(every, runs_of(np.logical_or.reduce(masks)))
    assert len(united([])) == 0


@pytest.mark.parametrize("size", SIZES)
def test_lines_through_a_mask(size: tuple[int, int]) -> None:
    for mask in dense_masks(size):
        runs = runs_of(mask)
        for column in range(-1, size[1] + 1):
            expected = mask[:, column] if 0 <= column < size[1] else np.zeros(size[0], bool)
            assert np.array_equal(covered(along_column(runs, column), size[0]), expected)
        for row in range(-1, size[0] + 1):
            expected = mask[row] if 0 <= row < size[0] else np.zeros(size[1], bool)
            assert np.array_equal(covered(along_row(runs, row), size[1]), expected)


def covered(stretches: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    line = np.zeros(length, bool)
    for start, stop in stretches:
        assert not line[max(0, start - 1) : stop + 1].any(), "stretches touch"
        line[start:stop] = True
    return line


def test_a_box_has_its_pixels() -> None:
    assert np.array_equal(
        dense_of(runs_of_box(Rectangle(2, 1, 5, 4)), (6, 6)), inside(Rectangle(2, 1, 5, 4), (6, 6))
    )
    assert len(runs_of_box(Rectangle(2, 1, 2, 4))) == 0


def test_an_image_of_gigapixels_is_no_problem() -> None:
    size = (60_000, 60_000)
    box = Rectangle(59_000, 58_000, 60_000, 60_000)
    code = code_of_runs(runs_of_box(box), size)
    assert torch.equal(Masks(size, (code,)).areas(), torch.tensor([2_000_000]))
    assert bounds_of(runs_of_code(code, size)) == box


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (Rectangle(0, 0, 4, 4), Rectangle(2, 3, 6, 7), Rectangle(2, 3, 4, 4)),
        (Rectangle(0, 0, 4, 4), Rectangle(0, 4, 4, 8), Rectangle(0, 4, 4, 4)),
        (Rectangle(0, 0, 4, 4), Rectangle(0, 6, 4, 8), Rectangle(0, 6, 4, 4)),
    ],
)
def test_rectangles_meet(one: Rectangle, other: Rectangle, shared: Rectangle) -> None:
    assert one.intersection(other) == shared
    assert other.intersection(one) == shared
    assert shared.is_empty == (shared.width <= 0 or shared.height <= 0)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("size", [(20, 31), (1, 9), (40, 3)])
def test_runs_of_an_image_that_was_made_smaller(step: int, size: tuple[int, int]) -> None:
    dense = np.random.default_rng(step).random(size) < 0.6
    runs = runs_of_code(Masks.from_dense(dense[None]).counts[0], size)
    rows, columns = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in size)
    small = dense[rows][:, columns]
    expected = runs_of_code(Masks.from_dense(small[None]).counts[0], small.shape)
    assert np.array_equal(shrunk(runs, step, size), expected)
    assert len(shrunk(runs[:0], step, size)) == 0


@pytest.mark.parametrize("size", SIZES)
def test_many_masks_at_once(size: tuple[int, int]) -> None:
    codes = [Masks.from_dense(mask[None]).counts[0] for mask in dense_masks(size)]
    one_by_one = [runs_of_code(code, size, 3, 7) for code in codes]
    together = runs_of_codes(codes, size, 3, 7)
    assert len(together) == len(one_by_one)
    assert all(np.array_equal(one, other) for one, other in zip(together, one_by_one, strict=True))
    assert codes_of_runs(runs_of_codes(codes, size), size) == codes
    assert [code_of_runs(runs, size) for runs in runs_of_codes(codes, size)] == codes
    assert runs_of_codes([], size) == []
    assert codes_of_runs([], size) == []


@pytest.mark.parametrize("size", SIZES)
def test_a_dense_part(size: tuple[int, int]) -> None:
    for mask in dense_masks(size):
        runs = runs_of_code(Masks.from_dense(mask[None]).counts[0], size)
        bounds = bounds_of(runs)
        if len(runs):
            part = mask[bounds.top : bounds.bottom, bounds.left : bounds.right]
            assert np.array_equal(dense_in(runs, bounds), part)
            assert dense_in(runs, bounds).dtype == np.uint8
        assert np.array_equal(dense_in(runs, Rectangle(0, 0, *size)), mask)
