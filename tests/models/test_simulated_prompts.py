"""Clicks from masks, against plain searches over all pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from toolkit.errors import InvalidDataError
from toolkit.models.simulated_prompts import (
    corrections_of,
    interior_point,
    point_prompts,
    truth_of,
    with_corrections,
)
from toolkit.types import Instances, Masks, Prompts, Sample


def blob(generator: np.random.Generator, size: tuple[int, int]) -> NDArray[np.bool_]:
    smooth = cv2.GaussianBlur(generator.random(size).astype(np.float32), (0, 0), 2)
    return smooth > np.quantile(smooth, generator.choice([0.3, 0.6, 0.9]))


def squared_distances(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From each pixel's center to the nearest pixel that is not of the mask, as whole numbers; the mask is
    surrounded by such.
    """
    outside = np.argwhere(~np.pad(mask, 1)) - 1
    pixels = np.indices(mask.shape).reshape(2, -1).T
    return ((pixels[:, None] - outside[None]) ** 2).sum(2).min(1).reshape(mask.shape)


@pytest.mark.parametrize("seed", range(8))
def test_the_interior_point_is_the_first_of_the_farthest_from_the_outside(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = blob(generator, (int(generator.integers(1, 30)), int(generator.integers(1, 30))))
    point = interior_point(mask, (100, 200))
    if not mask.any():
        assert point is None
        return
    y, x = np.unravel_index(squared_distances(mask).argmax(), mask.shape)
    assert point == (x + 100, y + 200)


@pytest.mark.parametrize("seed", range(4))
def test_of_equally_interior_points_the_first_is_taken(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's distances of such points may differ in their last bit, and do between processes on a busy
    machine.
    """
    generator, exact = np.random.default_rng(seed), cv2.distanceTransform

    def inexact(*args: int) -> NDArray[np.float32]:
        distance = exact(*args)
        return np.where(
            generator.random(distance.shape) < 0.5, distance, np.nextafter(distance, np.float32(np.inf))
        )

    monkeypatch.setattr(cv2, "distanceTransform", inexact)
    for side in range(1, 60):
        assert interior_point(np.ones((side, 3 * side), dtype=bool)) == ((side - 1) // 2, (side - 1) // 2)


def test_points_of_instances_lie_in_the_image_and_in_their_masks() -> None:
    masks = np.zeros((3, 20, 30), dtype=bool)
    masks[0, 2:9, 10:17] = True
    masks[1, 19, 29] = True  # the third has no pixel, and gets a point anywhere
    truth = Instances((20, 30), torch.zeros((3, 4)), torch.tensor([1, 0, 2]), Masks.from_dense(masks))
    prompts = point_prompts(truth)
    assert prompts.points_xy is not None
    assert prompts.points_xy.tolist() == [[[13, 5]], [[29, 19]], [[0, 0]]]
    assert prompts.labels is not None
    assert prompts.labels.tolist() == [1, 0, 2]
    assert len(point_prompts(Instances.empty((4, 4), with_masks=True))) == 0


def test_corrections_hit_the_largest_fault() -> None:
    truth = np.zeros((5, 20, 20), dtype=bool)  # the last is empty, and so is the answer
    answer = np.zeros_like(truth)
    truth[0, 2:12, 2:12], answer[0, 2:12, 2:7] = True, True  # the right half lacks
    truth[1, 2:5, 2:5], answer[1, 2:5, 2:18] = True, True  # overflows to the right
    truth[2, 5:9, 5:9], answer[2, 5:9, 5:9] = True, True  # right already
    truth[3, 0:4, 0:4], answer[3, 10:20, 10:20] = True, True  # somewhere else
    first = Prompts(torch.zeros((5, 1, 2)), torch.ones((5, 1), dtype=torch.int64))
    prompts = with_corrections(first, Masks.from_dense(truth), Masks.from_dense(answer))
    assert prompts.points_xy is not None
    assert prompts.point_labels is not None
    assert prompts.points_xy.shape == (5, 2, 2)
    assert prompts.point_labels[:, 1].tolist() == [1, 0, -1, 0, -1]
    for i, wrong in enumerate((truth & ~answer, answer & ~truth, truth, answer & ~truth)):
        x, y = prompts.points_xy[i, 1].int().tolist()
        if i != 2:
            assert wrong[i, y, x]


def test_names_of_protocols() -> None:
    assert [corrections_of(name) for name in ("box", "auto", "point", "point+1", "point+12")] == [
        0,
        0,
        0,
        1,
        12,
    ]
    for name in ("points", "point+0", "point+", "boxes", ""):
        with pytest.raises(InvalidDataError, match="unknown prompt protocol"):
            corrections_of(name)


def test_a_sample_without_masks_cannot_be_pointed_at() -> None:
    sample = Sample("a", torch.zeros((3, 4, 4), dtype=torch.uint8), instances=Instances.empty((4, 4)))
    with pytest.raises(InvalidDataError, match="'a' has no object masks to derive prompts from"):
        truth_of(sample)
