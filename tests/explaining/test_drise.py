"""D-RISE gives what a plain loop over the masks gives, stops when stable, and finds what matters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from toolkit.explaining.drise import DriseOptions, drise, mean_color
from toolkit.explaining.random_masks import RandomMasks, draw_masks
from toolkit.explaining.ranks import correlation

ALL = DriseOptions(stable=None)


def photo(size: tuple[int, int] = (40, 60), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)


def brightness_of(top: int, left: int, side: int) -> object:
    """A score that only looks at a square."""

    def score(images: Tensor) -> Tensor:
        return images[:, :, top : top + side, left : left + side].float().mean(dim=(1, 2, 3)) / 255

    return score


def plain_loop(score: object, image: Tensor, masks: RandomMasks) -> Tensor:
    weighted, visible, fill = torch.zeros(image.shape[1:]), torch.zeros(image.shape[1:]), mean_color(image)
    for number in range(len(masks)):
        mask = masks.full([number])[0]
        masked = (fill + mask * (image - fill)).round().to(torch.uint8)
        value = score(masked[None])[0]  # type: ignore[operator]
        weighted, visible = weighted + value * mask, visible + mask
    return weighted / visible


@pytest.mark.parametrize("size", [(40, 60), (7, 90), (1, 1)])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_equals_a_plain_loop(size: tuple[int, int], batch_size: int) -> None:
    image, masks = photo(size), draw_masks(size, 130, cells=6, seed=5)
    score = brightness_of(0, 0, 12)
    found = drise(score, image, DriseOptions(stable=None, batch_size=batch_size), masks=masks)
    torch.testing.assert_close(found.map, plain_loop(score, image, masks), rtol=1e-5, atol=1e-6)
    assert found.map.dtype == torch.float32
    assert found.masks == 130


def bright_square(size: tuple[int, int], top: int, left: int, side: int) -> Tensor:
    image = torch.zeros((3, *size), dtype=torch.uint8)
    image[:, top : top + side, left : left + side] = 255
    return image


def test_points_at_what_the_score_looks_at() -> None:
    image = bright_square((48, 64), 20, 40, 10)
    found = drise(brightness_of(20, 40, 10), image)
    row, column = divmod(int(found.map.argmax()), 64)
    assert 18 <= row < 32
    assert 38 <= column < 52
    assert found.spread > 0.05


def test_stops_when_stable_and_the_map_is_that_of_all_masks() -> None:
    image, score = bright_square((48, 64), 10, 8, 24), brightness_of(10, 8, 24)
    early = drise(score, image, DriseOptions(stable=0.9))
    everything = drise(score, image, DriseOptions(stable=None))
    assert early.masks < 2500
    assert early.stability >= 0.9
    assert everything.masks == 5000
    assert everything.stability > early.stability
    assert correlation(early.map.numpy(), everything.map.numpy()) > 0.9


def test_a_score_that_nothing_changes_gives_a_constant_map() -> None:
    found = drise(lambda images: torch.full((len(images),), 0.25), photo())
    assert found.masks == 500
    assert found.mean == 0.25
    assert found.spread == 0
    assert math.isnan(found.stability)
    torch.testing.assert_close(found.map, torch.full((40, 60), 0.25))


def test_progress_counts_masks() -> None:
    seen: list[int] = []
    drise(brightness_of(0, 0, 9), photo(), DriseOptions(masks=250, stable=None), progress=seen.append)
    assert seen == [100, 200, 250]


def test_the_same_seed_gives_the_same_map() -> None:
    options = DriseOptions(masks=100, stable=None, seed=4)
    first, second = (drise(brightness_of(5, 5, 20), photo(), options) for _ in range(2))
    assert torch.equal(first.map, second.map)
