"""Curves of deletion and insertion tell maps that know something from those that do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.explaining.deletion import (
    BETTER,
    BY_DELETION,
    BY_INSERTION,
    NOT_BETTER,
    UNDEFINED,
    Chance,
    Curve,
    DeletionGame,
    DeletionOptions,
    Faithfulness,
)
from toolkit.explaining.prediction_intervals import Interval

SIZE = (48, 64)


def image() -> Tensor:
    bright = torch.zeros((3, *SIZE), dtype=torch.uint8)
    bright[:, 4:20, 40:60] = 255
    return bright


def brightness(images: Tensor) -> Tensor:
    return images[:, :, 4:20, 40:60].float().mean(dim=(1, 2, 3)) / 255


def on_the_square() -> Tensor:
    return image()[0].float()


@pytest.fixture(scope="module")
def game() -> DeletionGame:
    return DeletionGame(brightness, image())


def test_the_area_is_that_of_trapezoids() -> None:
    assert Curve((0, 0.5, 1), (1, 1, 0)).area == pytest.approx(0.75)
    assert Curve((0, 1), (0.2, 0.4)).area == pytest.approx(0.3)


def test_a_true_map_is_better_than_chance_and_its_opposite_is_not(game: DeletionGame) -> None:
    true, false = game.judge(on_the_square()), game.judge(-on_the_square())
    assert true.verdict == BETTER
    assert true.deletion.area < true.chance.random.low < true.chance.random.high < true.insertion.area
    assert false.verdict == NOT_BETTER
    assert false.deletion.area > true.deletion.area
    assert false.deletion.scores[0] == false.insertion.scores[-1] == 1
    assert false.deletion.scores[-1] == false.insertion.scores[0]


@pytest.mark.parametrize("seed", range(3))
def test_maps_that_know_nothing_are_rarely_better(game: DeletionGame, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    verdicts = [game.judge(torch.rand(SIZE, generator=generator)).verdict for _ in range(20)]
    assert verdicts.count(NOT_BETTER) >= 16


def test_the_center_is_better_where_the_object_is_there() -> None:
    def middle(images: Tensor) -> Tensor:
        return images[:, :, 18:30, 24:40].float().mean(dim=(1, 2, 3)) / 255

    bright = torch.zeros((3, *SIZE), dtype=torch.uint8)
    bright[:, 18:30, 24:40] = 255
    chance = DeletionGame(middle, bright).chance()
    assert chance.center_deletion.mean < chance.random.mean < chance.center_insertion.mean


def test_a_constant_map_is_no_better_than_chance(game: DeletionGame) -> None:
    assert game.judge(torch.zeros(SIZE)).verdict == NOT_BETTER


def test_a_score_that_does_not_depend_on_the_photo_has_no_verdict() -> None:
    game = DeletionGame(lambda images: torch.full((len(images),), 0.5), image())
    found = game.judge(on_the_square())
    assert found.verdict == UNDEFINED
    assert found.deletion.area == pytest.approx(0.5)


def test_chance_is_computed_once_and_the_number_of_photos_is_known() -> None:
    seen: list[int] = []

    def counted(images: Tensor) -> Tensor:
        seen.append(len(images))
        return brightness(images)

    game = DeletionGame(counted, image(), DeletionOptions(steps=5, draws=4, batch_size=7))
    assert sum(seen) == 2
    game.judge(on_the_square())
    assert sum(seen) == 2 + (4 + 2 * 2) * 4 + 2 * 4
    game.judge(-on_the_square())
    assert sum(seen) == 2 + (4 + 2 * 2) * 4 + 2 * 2 * 4
    assert max(seen) == 7


def test_the_curve_equals_hiding_pixel_by_pixel() -> None:
    options = DeletionOptions(steps=4, cells=4, draws=1)
    values = torch.arange(SIZE[0] * SIZE[1]).reshape(SIZE).float()
    found = DeletionGame(brightness, image(), options).judge(values).deletion
    # cells of 16 x 16, three rows of four; the map grows from row to row and from left to right
    expected = []
    for hidden in (0, 3, 6, 9, 12):
        photo, fill = image(), image().float().mean(dim=(1, 2)).round().to(torch.uint8)
        for cell in range(11, 11 - hidden, -1):
            row, column = divmod(cell, 4)
            photo[:, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = fill[:, None, None]
        expected.append(float(brightness(photo[None])))
    assert found.scores == pytest.approx(expected)
    assert found.fractions == pytest.approx((0, 0.25, 0.5, 0.75, 1))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5, 3)])
def test_photos_with_fewer_pixels_than_steps(size: tuple[int, int]) -> None:
    photo = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = DeletionGame(lambda images: images.float().mean(dim=(1, 2, 3)), photo).judge(torch.rand(size))
    assert found.deletion.fractions[0] == 0
    assert found.deletion.fractions[-1] == 1
    assert math.isfinite(found.deletion.area)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 3), torch.full(SIZE, torch.nan)])
def test_maps_of_another_size_or_with_nan_are_refused(game: DeletionGame, wrong: Tensor) -> None:
    with pytest.raises(InvalidDataError, match="finite and of the photo's size"):
        game.judge(wrong)


@pytest.mark.parametrize(
    ("deletion", "insertion", "verdict"),
    [(0.2, 0.8, BETTER), (0.2, 0.5, BY_DELETION), (0.5, 0.8, BY_INSERTION), (0.45, 0.55, NOT_BETTER)],
)
def test_verdicts(deletion: float, insertion: float, verdict: str) -> None:
    inside = Interval(0.5, 0.4, 0.6)

    def curve(area: float, *ends: float) -> Curve:
        middle = 2 * area - (ends[0] + ends[1]) / 2
        return Curve((0, 0.5, 1), (ends[0], middle, ends[1]))

    chance = Chance(inside, inside, inside, 10)
    assert Faithfulness(curve(deletion, 1, 0), curve(insertion, 0, 1), chance).verdict == verdict
