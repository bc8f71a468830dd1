"""Predictions in a model's classes, measured in those of a dataset."""

from __future__ import annotations

import pytest
import torch

from toolkit.errors import DataError
from toolkit.evaluation.alignment import Alignment
from toolkit.types import VOID, Instances, Masks, Prediction


def test_classes_are_matched_by_name_and_a_background_becomes_void() -> None:
    align = Alignment(("background", "b", "a"), ("a", "b"), "m")
    label_map = torch.tensor([[0, 1, 2, VOID]], dtype=torch.uint8)
    aligned = align(Prediction("s", (1, 4), label_map))
    assert aligned.label_map is not None
    assert aligned.label_map.tolist() == [[VOID, 1, 0, VOID]]
    masks = Masks.from_dense(torch.eye(3, dtype=torch.bool)[:, None])
    instances = Instances(
        (1, 3), masks.boxes_xyxy(), torch.tensor([2, 0, 1]), masks, torch.tensor([0.1, 0.2, 0.3])
    )
    moved = align(Prediction("s", (1, 3), instances=instances)).instances
    assert moved is not None
    assert moved.labels.tolist() == [0, 1], "what is found to be background is no object"
    assert moved.scores is not None
    assert moved.scores.tolist() == pytest.approx([0.1, 0.3])
    other = Alignment(("a", "b"), ("background", "a", "b"), "m")(
        Prediction("s", (1, 2), torch.tensor([[0, 1]], dtype=torch.uint8))
    )
    assert other.label_map is not None
    assert other.label_map.tolist() == [[1, 2]]


def test_other_classes_are_refused_by_name() -> None:
    with pytest.raises(
        DataError,
        match="runs/x cannot be evaluated.*only the model has cat, dog; only the dataset has car",
    ):
        Alignment(("background", "dog", "cat"), ("car",), "runs/x")
