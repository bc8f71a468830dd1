from __future__ import annotations

import random

import pytest
import torch
from label_map_cases import LOGITS, blobs, reference
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.models.label_maps import logits_to_label_map
from toolkit.types import Size


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
