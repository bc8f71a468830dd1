"""Heat maps, outlines and grids show what they should."""

from __future__ import annotations

import numpy as np
import torch

from toolkit import Explanation, Prompts, Target
from toolkit.explaining.pictures import (
    channel_grid,
    draw_target,
    fitted,
    heat_map,
    kernel_grid,
    sheet_title,
    strengths,
)

GRAY = torch.full((3, 20, 30), 100, dtype=torch.uint8)


def test_a_heat_map_leaves_what_does_not_matter_as_it_is() -> None:
    values = torch.zeros(20, 30)
    values[5:10, 5:10], values[15, 15] = 2.0, -3.0
    picture = heat_map(GRAY, values)
    changed = (picture != 100).any(2)
    assert changed[5:10, 5:10].all()
    changed[5:10, 5:10] = False
    assert not changed.any()
    assert (heat_map(GRAY, torch.zeros(20, 30)) == 100).all()
    assert (heat_map(GRAY, torch.full((20, 30), -1.0)) == 100).all()


def test_strengths_run_from_0_to_1_and_a_single_pixel_does_not_dim_the_rest() -> None:
    values = torch.rand(40, 50)
    values[3, 3] = 1000
    found = strengths(values)
    assert found.min() >= 0
    assert found.max() == 1
    assert np.median(found) > 0.3
    lonely = torch.zeros(40, 50)
    lonely[3, 3] = 1e-20
    assert strengths(lonely)[3, 3] == 1


def test_targets_are_outlined_at_any_scale() -> None:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[4:12, 6:16] = True
    for scale in (1, 3):
        picture = np.full((20 * scale, 30 * scale, 3), 100, np.uint8)
        draw_target(picture, Target("region", 1, mask), (20, 30))
        rows, columns = np.nonzero((picture != 100).any(2))
        assert abs(rows.min() - 4 * scale) <= 2
        assert abs(columns.max() - 15 * scale) <= 2 * scale
        assert (picture[8 * scale, 11 * scale] == 100).all(), "the inside stays"


def test_boxes_and_points_of_prompts_are_drawn() -> None:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    for prompts, where in (
        (Prompts(boxes_xyxy=torch.tensor([[3.0, 4.0, 25.0, 15.0]])), (4, 10)),
        (Prompts(torch.tensor([[[20.0, 9.0]]]), torch.ones(1, 1, dtype=torch.int64)), (9, 20)),
    ):
        picture = np.full((20, 30, 3), 100, np.uint8)
        draw_target(picture, Target("prompt", mask=mask, prompts=prompts), (20, 30))
        assert (picture[where] == 255).all()


def test_cells_of_a_sheet_keep_the_proportions() -> None:
    target = Target("object", 0, box_xyxy=torch.tensor([1.0, 1.0, 9.0, 9.0]))
    for side in (15, 90):
        outlined, drawn = fitted(GRAY, torch.rand(20, 30), target, side)
        assert outlined.shape == drawn.shape == (3, side * 2 // 3, side)
        assert outlined.dtype == torch.uint8


def test_titles_say_what_and_how_much() -> None:
    found = Explanation("a.jpg", "cam", Target("class", 1), None, torch.zeros(2, 2), 1.23456)
    assert sheet_title(found, "cow") == "a.jpg, cow, score 1.23"


def test_grids_show_each_channel_on_its_own_scale() -> None:
    maps = torch.zeros(5, 4, 6)
    maps[0, 1, 2], maps[1] = 1e-6, 7.0
    picture = channel_grid(maps)
    tiles = 3
    height, width = picture.shape[0] // 2, picture.shape[1] // tiles
    first, second = picture[2 : height - 1, 2 : width - 1], picture[2 : height - 1, width + 3 : 2 * width - 1]
    assert len(np.unique(first.reshape(-1, 3), axis=0)) == 2
    assert len(np.unique(second.reshape(-1, 3), axis=0)) == 1
    assert max(channel_grid(torch.rand(2048, 40, 40)).shape) <= 4200
    assert channel_grid(torch.rand(1, 1, 1)).shape[2] == 3


def test_kernels_are_gray_where_they_are_0() -> None:
    kernels = torch.zeros(2, 3, 2, 2)
    kernels[0, 0, 0, 0], kernels[1, 2, 1, 1] = 0.5, -0.5
    picture = kernel_grid(kernels)
    colors = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert colors == {(255, 255, 255), (128, 128, 128), (255, 128, 128), (128, 128, 0)}
    assert picture.shape == (48 + 4, 2 * 50 + 2, 3), "small kernels are enlarged"
    assert kernel_grid(torch.zeros(1, 3, 1, 1)).shape[2] == 3
