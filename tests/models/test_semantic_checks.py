"""What a semantic model checks of label maps and logits."""

from __future__ import annotations

import pytest
import torch

from toolkit import VOID, Sample
from toolkit.errors import InvalidDataError, UsageError
from toolkit.models.semantic_checks import checked_logits, label_map_of

IMAGE = torch.zeros((3, 2, 2), dtype=torch.uint8)


def test_a_label_map_may_have_all_classes_and_void() -> None:
    label_map = torch.tensor([[0, 1], [2, VOID]], dtype=torch.uint8)
    assert label_map_of(Sample("a", IMAGE, label_map), 3) is label_map


@pytest.mark.parametrize("values", [None, [[0, 1], [2, 3]]])
def test_a_label_map_that_cannot_be_learned_is_an_error_with_the_sample(
    values: list[list[int]] | None,
) -> None:
    label_map = None if values is None else torch.tensor(values, dtype=torch.uint8)
    expected = "no label_map" if values is None else r"the value 3, but there are 3 classes \(0 to 2"
    with pytest.raises(InvalidDataError, match=f"sample 'a' .*{expected}"):
        label_map_of(Sample("a", IMAGE, label_map), 3)


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (2, 3, 4, 4), (1, 3, 4)])
def test_logits_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"must return logits \[B, 3, h, w\].* it returned \["):
        checked_logits(torch.zeros(shape), torch.zeros((1, 3, 8, 8)), 3)


@pytest.mark.parametrize("given", [torch.bfloat16, torch.float32, torch.float64])
def test_logits_are_in_full_precision(given: torch.dtype) -> None:
    found = checked_logits(torch.ones((1, 3, 4, 4), dtype=given), torch.zeros((1, 3, 8, 8)), 3)
    assert found.dtype == (torch.float64 if given == torch.float64 else torch.float32)
