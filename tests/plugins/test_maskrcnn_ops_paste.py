"""Masks pasted in their own boxes against grid sampling of whole images, bit for bit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from toolkit.plugins.maskrcnn.ops.paste import paste_masks
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Masks, Size


def reference(masks: Tensor, boxes: Tensor, size: Size, threshold: float = 0.5) -> Masks:
    """Every pixel's middle sampled in every mask, the box being from -1 to 1; nothing more than a pixel
    outside the box, as Detectron2 has it.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    x = (torch.arange(size[1]) + 0.5 - low[..., 0]) / (high[..., 0] - low[..., 0]) * 2 - 1
    y = (torch.arange(size[0]) + 0.5 - low[..., 1]) / (high[..., 1] - low[..., 1]) * 2 - 1
    grid = torch.stack([x[:, None].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])], dim=3)
    reached = F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0] >= threshold
    column, row = torch.arange(size[1]), torch.arange(size[0])[:, None]
    first, last = boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1
    x0, y0, x1, y1 = (edge[:, None, None] for edge in (*first.T, *last.T))
    return Masks.from_dense(reached & (column >= x0) & (column < x1) & (row >= y0) & (row < y1))


def random_boxes(count: int, seed: int) -> Tensor:
    """Boxes from specks to several times the image, many of them partly or wholly outside."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 300 - 100
    boxes = torch.cat([corner, corner + torch.exp(torch.rand(count, 2, generator=generator) * 9 - 3)], dim=1)
    return (boxes * 2).round() / 2 + torch.tensor([0, 0, 0.5, 0.5]) if seed % 3 == 0 else boxes


@pytest.mark.parametrize("seed", range(8))
def test_the_same_pixels_as_by_grid_sampling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 200)), int(rng.integers(1, 200)))
    boxes = random_boxes(25, seed)
    masks = torch.rand(25, 28, 28, generator=torch.Generator().manual_seed(seed))
    if seed % 2:
        masks = masks.round()  # saturated: then whole edges lie on the threshold, and rounding decides
    threshold = float(rng.choice([0.5, 0.25, 0.7]))
    assert paste_masks(masks, boxes, size, threshold) == reference(masks, boxes, size, threshold)


def test_a_mask_that_is_the_threshold_everywhere() -> None:
    boxes = random_boxes(12, 1)
    masks = torch.full((12, 28, 28), 0.5)
    assert paste_masks(masks, boxes, (90, 110)) == reference(masks, boxes, (90, 110))


def test_masks_that_fill_columns_from_top_to_bottom() -> None:
    """Runs go on from one column to the next."""
    masks = torch.ones(3, 28, 28)
    masks[1, :, 10:20] = 0
    masks[2, 5:9] = 0
    boxes = torch.tensor([[-50.0, -50, 90, 90], [-5, -20, 60, 80], [3, -1, 20, 41]])
    assert paste_masks(masks, boxes, (40, 60)) == reference(masks, boxes, (40, 60))


def test_large_masks_are_made_in_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.plugins.maskrcnn.ops.paste._STRIPE", 500)
    masks, boxes = torch.rand(5, 28, 28), random_boxes(5, 2)
    assert paste_masks(masks, boxes, (120, 150)) == reference(masks, boxes, (120, 150))


def test_boxes_without_area_and_outside_give_empty_masks() -> None:
    boxes = torch.tensor([[5.0, 5, 5, 9], [7, 9, 9, 3], [100, 2, 120, 9], [-30, -30, -9, -9]])
    pasted = paste_masks(torch.ones(4, 28, 28), boxes, (20, 30))
    assert pasted.areas().tolist() == [0, 0, 0, 0]
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (20, 30)) == Masks((20, 30))


def test_memory_does_not_grow_with_the_image() -> None:
    masks = torch.linspace(0, 1, 28).expand(4, 28, 28)
    boxes = torch.tensor([[0.0, 0, 4000, 3000]]).repeat(4, 1)
    tracemalloc.start()
    pasted = paste_masks(masks, boxes, (3000, 4000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pasted.areas().tolist() == pytest.approx([6_000_000] * 4, rel=0.02)
    assert peak < 60e6  # NumPy's part; one dense mask in float32 would be 48 MB, four of them 192
