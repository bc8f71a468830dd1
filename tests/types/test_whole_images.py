"""The class of an image as a whole is found by the shape of what has it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toolkit.types import Prediction, Sample, class_scores


def test_one_number_for_each_class() -> None:
    values = torch.tensor([0.1, 0.7, 0.2])
    other = {"name": "x", "text": "y"}
    for labeled in (
        Sample("a", torch.zeros(3, 2, 2, dtype=torch.uint8), extras={"chances": values, **other}),
        Prediction("a", (2, 2), extras={"chances": values, **other}),
    ):
        found = class_scores(labeled, 3)
        assert found is not None
        assert (found.field, found.label) == ("chances", 1)
        assert found.values is values


@pytest.mark.parametrize(
    "extras",
    [
        {"a": "text"},
        {"a": torch.ones(3, dtype=torch.int64)},
        {"a": torch.ones(4)},
        {"a": torch.ones(3), "b": torch.ones(3)},
    ],
    ids=["nothing", "whole numbers", "other classes", "two such values"],
)
def test_nothing_of_the_kind(extras: dict[str, Any]) -> None:
    assert class_scores(Prediction("a", (2, 2), extras=extras), 3) is None


def test_no_classes() -> None:
    assert class_scores(Prediction("a", (2, 2), extras={"a": torch.ones(0)}), 0) is None
