"""Masks from small matrices are those of RISE: a grid enlarged bilinearly, and a part of it cut out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from toolkit.errors import UsageError
from toolkit.explaining.random_masks import SHIFTS, draw_masks


@pytest.mark.parametrize("size", [(40, 64), (1, 1), (3, 200), (97, 33), (16, 16)])
def test_masks_are_enlarged_and_shifted_grids(size: tuple[int, int]) -> None:
    masks = draw_masks(size, 40, cells=5, seed=3)
    assert {*masks.shifts.flatten().tolist()} == {*range(SHIFTS)}
    for i in range(len(masks)):
        grid = masks.grids[i]
        enlarged = [(n + 1) * cell for n, cell in zip(grid.shape, masks.cells, strict=True)]
        whole = F.interpolate(grid[None, None], enlarged, mode="bilinear", align_corners=False)[0, 0]
        top, left = (
            int(shift) * cell // SHIFTS for shift, cell in zip(masks.shifts[i], masks.cells, strict=True)
        )
        torch.testing.assert_close(masks.full([i])[0], whole[top : top + size[0], left : left + size[1]])


def test_cells_are_nearly_square_and_visible_as_often_as_asked() -> None:
    masks = draw_masks((300, 600), 500, cells=12, keep=0.3)
    assert masks.grids.shape == (500, 6, 12)
    assert masks.cells == (50, 50)
    assert float(masks.full(range(500)).mean()) == pytest.approx(0.3, abs=0.01)


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    few, many = draw_masks((20, 30), 5, seed=1), draw_masks((20, 30), 50, seed=1)
    assert torch.equal(few.full(range(5)), many.full(range(5)))
    assert not torch.equal(few.full(range(5)), draw_masks((20, 30), 5, seed=2).full(range(5)))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 5, "cells": 0}, {"count": 5, "keep": 1.0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected at least 1 mask"):
        draw_masks((8, 8), **wrong)
