"""Interpolating only the cells of logits that are undecided: as right as interpolating all of them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from label_map_cases import LOGITS, reference, ulps_apart
from torch import Tensor
from torch.nn import functional as F

from toolkit.models import label_map_cells
from toolkit.models.label_map_cells import pruned_argmax
from toolkit.types import Size

Array = np.ndarray


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", [kind for kind in LOGITS if kind not in ("outlier", "tiny")])
def test_pruning_alone_equals_torch(kind: str) -> None:
    """Where pruning would not pay, it is still right: no class of logits is exact only because another path
    is taken.
    """
    for classes, height, width, size in [(5, 20, 31, (131, 133)), (6, 33, 1, (132, 150))]:
        logits = LOGITS[kind](classes, height, width)
        found = pruned_argmax(logits, size, budget=math.inf)
        assert found is not None
        assert torch.equal(found, reference(logits, size)), (classes, height, width, size)


def test_pruning_is_taken_for_smooth_logits_and_not_for_noise() -> None:
    size = (256, 512)
    budget = 21 * size[0] * size[1]
    assert (
        pruned_argmax(F.interpolate(torch.randn(1, 21, 4, 8), size=(32, 64), mode="bicubic")[0], size, budget)
        is not None
    )
    assert pruned_argmax(torch.randn(21, 32, 64), size, budget) is None


def test_pixels_that_only_rounding_decides_are_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    original = label_map_cells._ask_torch

    def count(logits: Tensor, size: Size, ties: label_map_cells._Ties) -> Array:
        nonlocal asked
        asked += len(ties.y)
        return original(logits, size, ties)

    monkeypatch.setattr(label_map_cells, "_ask_torch", count)
    logits = ulps_apart(6, 20, 20)
    found = pruned_argmax(logits, (130, 131), budget=math.inf)
    assert found is not None
    assert torch.equal(found, reference(logits, (130, 131)))
    assert asked > 1000


@pytest.mark.parametrize(
    ("source", "target"),
    [(1, 200), (2, 129), (7, 1000), (128, 1024), (200, 131), (100, 100), (333, 1000), (3, 131)],
)
def test_taps_are_the_weights_of_torch(source: int, target: int) -> None:
    taps = label_map_cells._taps(source, target)
    signal = torch.randn(source)
    padded = np.pad(signal.numpy(), 1, mode="edge")
    expected = F.interpolate(
        signal[None, None, None], size=(1, target), mode="bilinear", align_corners=False
    )[0, 0, 0]
    assert np.allclose(
        taps.low * padded[taps.cell] + taps.high * padded[taps.cell + 1], expected.numpy(), rtol=0, atol=1e-6
    )
    assert np.array_equal(np.repeat(np.arange(source + 1), taps.count), taps.cell)
