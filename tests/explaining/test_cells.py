"""Cells of a photo: where they are, and how they are hidden."""

from __future__ import annotations

import pytest
import torch

from toolkit.explaining.cells import Cells, Hidden


@pytest.mark.parametrize(("size", "count"), [((16, 16), 16), ((10, 16), 12), ((1, 1), 1), ((3, 200), 4)])
def test_cells_cover_every_pixel_once(size: tuple[int, int], count: int) -> None:
    cells = Cells.of(size, 4)
    assert len(cells) == count
    assert cells.numbers.shape == size
    assert int(cells.areas.sum()) == size[0] * size[1]
    assert bool((cells.areas > 0).all())
    assert bool(((cells.centers > 0) & (cells.centers <= 1)).all())


def test_means_and_order() -> None:
    cells = Cells.of((4, 4), 2)
    values = torch.tensor([[1.0, 3, 0, 0], [1, 3, 0, 0], [8, 8, 5, 5], [8, 8, 5, 5]])
    assert cells.means(values).tolist() == [2, 0, 8, 5]
    assert cells.order(cells.means(values), torch.Generator().manual_seed(0)).tolist() == [2, 3, 0, 1]
    assert cells.centers.tolist() == [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]]


def test_equal_cells_come_in_random_order() -> None:
    cells = Cells.of((4, 4), 2)
    generator = torch.Generator().manual_seed(0)
    orders = {tuple(cells.order(torch.zeros(4), generator).tolist()) for _ in range(200)}
    assert len(orders) == 24


def test_hidden_cells_have_the_mean_color() -> None:
    image = torch.zeros((3, 4, 4), dtype=torch.uint8)
    image[0, :2] = 200
    cells = Cells.of((4, 4), 2)
    everything = torch.ones(4, dtype=torch.bool)
    visible = torch.tensor([True, False, True, False])
    first, second = Hidden(image, cells).images([everything, visible])
    assert torch.equal(first, image)
    assert torch.equal(second[:, :, :2], image[:, :, :2])
    assert bool((second[0, :, 2:] == 100).all())
    assert bool((second[1:] == 0).all())
