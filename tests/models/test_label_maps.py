from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
from toolkit.models import label_maps
from toolkit.models.label_maps import logits_to_label_map
from toolkit.types import Size

Array = np.ndarray


def reference(logits: Tensor, size: Size) -> Tensor:
    return (
        F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]
        .argmax(0)
        .to(torch.uint8)
    )


def blobs(classes: int, height: int, width: int) -> Tensor:
    """Smooth logits, as networks give them: large areas of one class."""
    coarse = torch.randn(1, classes, height // 8 + 1, width // 8 + 1) * 5
    return F.interpolate(coarse, size=(height, width), mode="bicubic")[0]


def ulps_apart(classes: int, height: int, width: int) -> Tensor:
    """All classes within a few roundings of one another, so that rounding alone decides."""
    return torch.randn(1, height, width) + torch.randn(classes, height, width) * 1e-7


def one_outlier(classes: int, height: int, width: int) -> Tensor:
    logits = blobs(classes, height, width)
    logits[classes // 2, height // 2, width // 2] = random.choice([1e6, -1e6, 1e30, -1e30, 3e38])
    return logits


LOGITS = {
    "smooth": blobs,
    "noise": torch.randn,
    "bfloat16 steps": lambda *shape: blobs(*shape).bfloat16().float(),
    "whole numbers": lambda *shape: blobs(*shape).round(),
    "zero and one": lambda *shape: (torch.randn(*shape) > 0).float(),
    "constant": lambda *shape: torch.full(shape, 0.3),
    "twins": lambda *shape: blobs(*shape)[torch.randint(shape[0], (shape[0],))],
    "rounding": ulps_apart,
    "outlier": one_outlier,
    "negative": lambda *shape: blobs(*shape) - 100,
    "tiny": lambda *shape: blobs(*shape) * 1e-35,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.usefixtures("threads")
def test_equals_torch_at_any_size_and_ratio(kind: str) -> None:
    for _ in range(20 if torch.get_num_threads() == 1 else 6):
        classes = random.choice([1, 2, 3, 4, 5, 6, 21])
        height, width = random.randint(1, 40), random.randint(1, 40)
        size = random.choice(
            [
                (random.randint(1, 300), random.randint(1, 300)),
                (random.randint(129, 300), random.randint(129, 300)),
                (height * random.randint(1, 12), width * random.randint(1, 12)),
                (random.randint(1, 130), random.randint(1, 130)),
            ]
        )
        logits = LOGITS[kind](classes, height, width)
        found = logits_to_label_map(logits, size)
        assert found.dtype == torch.uint8
        assert torch.equal(found, reference(logits, size)), (classes, height, width, size)


@pytest.mark.parametrize("kind", [kind for kind in LOGITS if kind not in ("outlier", "tiny")])
def test_pruning_alone_equals_torch(kind: str) -> None:
    """Where pruning would not pay, it is still right: no class of logits is exact only because another path
    is taken.
    """
    for classes, height, width, size in [(5, 20, 31, (131, 133)), (6, 33, 1, (132, 150))]:
        logits = LOGITS[kind](classes, height, width)
        found = label_maps._pruned_argmax(logits, size, budget=math.inf)
        assert found is not None
        assert torch.equal(found, reference(logits, size)), (classes, height, width, size)


def test_pruning_is_taken_for_smooth_logits_and_not_for_noise() -> None:
    size = (256, 512)
    budget = 21 * size[0] * size[1]
    assert (
        label_maps._pruned_argmax(
            F.interpolate(torch.randn(1, 21, 4, 8), size=(32, 64), mode="bicubic")[0], size, budget
        )
        is not None
    )
    assert label_maps._pruned_argmax(torch.randn(21, 32, 64), size, budget) is None


def test_pixels_that_only_rounding_decides_are_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    original = label_maps._ask_torch

    def count(logits: Tensor, size: Size, ties: label_maps._Ties) -> Array:
        nonlocal asked
        asked += len(ties.y)
        return original(logits, size, ties)

    monkeypatch.setattr(label_maps, "_ask_torch", count)
    logits = ulps_apart(6, 20, 20)
    found = label_maps._pruned_argmax(logits, (130, 131), budget=math.inf)
    assert found is not None
    assert torch.equal(found, reference(logits, (130, 131)))
    assert asked > 1000


@pytest.mark.parametrize(
    ("source", "target"),
    [(1, 200), (2, 129), (7, 1000), (128, 1024), (200, 131), (100, 100), (333, 1000), (3, 131)],
)
def test_taps_are_the_weights_of_torch(source: int, target: int) -> None:
    taps = label_maps._taps(source, target)
    signal = torch.randn(source)
    padded = np.pad(signal.numpy(), 1, mode="edge")
    expected = F.interpolate(
        signal[None, None, None], size=(1, target), mode="bilinear", align_corners=False
    )[0, 0, 0]
    assert np.allclose(
        taps.low * padded[taps.cell] + taps.high * padded[taps.cell + 1], expected.numpy(), rtol=0, atol=1e-6
    )
    assert np.array_equal(np.repeat(np.arange(source + 1), taps.count), taps.cell)


def test_255_classes() -> None:
    logits = blobs(255, 16, 16)
    assert torch.equal(logits_to_label_map(logits, (150, 160)), reference(logits, (150, 160)))
    last = torch.zeros(255, 16, 16)
    last[254] = 1
    assert logits_to_label_map(last, (150, 160)).unique().tolist() == [254]


@pytest.mark.parametrize("kind", LOGITS)
def test_same_size_is_argmax(kind: str) -> None:
    for shape in [(1, 1, 1), (2, 1, 9), (21, 37, 41), (3, 5, 70_000), (5, 600, 700)]:
        logits = LOGITS[kind](*shape)
        assert torch.equal(logits_to_label_map(logits, shape[1:]), logits.argmax(0).to(torch.uint8))


def test_ties_go_to_the_first_class() -> None:
    logits = torch.zeros(6, 9, 9)
    logits[2:4] = 1
    for size in [(9, 9), (20, 20), (200, 300), (4, 5)]:
        assert logits_to_label_map(logits, size).unique().tolist() == [2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_as_float32(dtype: torch.dtype) -> None:
    logits = blobs(8, 20, 24).to(dtype)
    assert torch.equal(logits_to_label_map(logits, (160, 192)), reference(logits.float(), (160, 192)))


def test_layout_and_gradient_do_not_matter() -> None:
    logits = blobs(8, 20, 24)
    channels_last = logits.permute(1, 2, 0).contiguous().permute(2, 0, 1).requires_grad_()
    found = logits_to_label_map(channels_last, (160, 192))
    assert torch.equal(found, reference(logits, (160, 192)))
    assert not found.requires_grad


def test_the_logits_are_left_alone() -> None:
    for size in [(20, 24), (160, 192), (10, 12), (41, 43)]:
        logits = blobs(8, 20, 24)
        before = logits.clone()
        logits_to_label_map(logits, size)
        assert torch.equal(logits, before)


@pytest.mark.parametrize(
    ("logits", "size", "message"),
    [
        (torch.zeros(4, 4), (8, 8), r"\[C, h, w\].*float32 \[4, 4\]"),
        (torch.zeros(256, 4, 4), (8, 8), "255 classes"),
        (torch.zeros(0, 4, 4), (8, 8), "1 to 255 classes"),
        (torch.zeros(3, 0, 4), (8, 8), "at least one pixel"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), (8, 8), "floating.*int64"),
        (torch.zeros(3, 4, 4), (0, 8), "size must be"),
        (torch.full((3, 4, 4), torch.nan), (8, 8), "finite"),
        (torch.full((3, 4, 4), -torch.inf), (8, 8), "finite"),
    ],
)
def test_wrong_input_is_named(logits: Tensor, size: Size, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        logits_to_label_map(logits, size)
