"""What all types promise: sizes, messages that stay short, frozen fields, reprs of a line; and what is
accepted though it looks odd, for there are models and files that give it.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from types_cases import INFINITY, NAN, SIZE, image, instances, masks, prompts, refused

from toolkit.errors import InvalidDataError
from toolkit.types import VOID, Instances, Masks, Prediction, Prompts, Sample

BAD_SIZES: list[Any] = [[4, 5], (4,), (4, 5, 3), (0, 5), (4, -1), (4.0, 5), ("4", 5), None, torch.Size([4])]


@pytest.mark.parametrize("size", BAD_SIZES, ids=repr)
def test_a_size_is_height_and_width(size: Any) -> None:
    expected = "must be (height, width) in whole pixels above 0, not " + repr(size)
    refused(lambda: Masks(size), "Masks.size " + expected)
    refused(lambda: Instances.empty(size), "Instances.size " + expected)
    empty = Instances.empty(SIZE)
    refused(lambda: Prediction("a", size, instances=empty), "Prediction 'a'.size " + expected)


def test_long_values_are_cut_short_in_messages() -> None:
    with pytest.raises(InvalidDataError, match=r"not list \[0, 0, 0.*…$") as caught:
        instances(labels=[0] * 10_000)
    assert len(str(caught.value)) < 200


def test_what_is_accepted() -> None:
    outside = torch.tensor([[-30.0, -2, 9, 80], [2, 2, 2, 2]])
    found = instances(
        boxes_xyxy=outside,  # of a detector that does not clip; and a box without an area
        scores=torch.tensor([97.5, -3]),  # of other software, which counts in percent or in logits
        keypoints=torch.full((2, 0, 3), -1.0),
        areas=torch.tensor([0, 1e9]).double(),
    )
    assert torch.equal(found.boxes_xyxy, outside)
    assert len(Prompts(torch.zeros(3, 0, 2), torch.zeros(3, 0, dtype=torch.int64))) == 3
    padded = torch.tensor([[[1.0, 1], [NAN, INFINITY]], [[3, 3], [-9, -9]]])
    assert len(prompts(points_xy=padded, point_labels=torch.tensor([[1, -1], [0, -1]]))) == 2
    assert Sample("", image(1, 1), torch.full((1, 1), VOID, dtype=torch.uint8)).size == (1, 1)
    nothing = Prompts(boxes_xyxy=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    assert len(nothing) == 0
    assert Sample("a", image(), prompts=nothing).prompts is nothing


@pytest.mark.parametrize(
    "value",
    [masks(), instances(), prompts(), Sample("a", image()), Prediction("a", SIZE, instances=instances())],
    ids=lambda value: type(value).__name__,
)
def test_fields_cannot_be_set_and_copies_are_of_the_same_kind(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.something_else = 1
    for again in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert type(again) is type(value)
        assert_same(again, value)


def assert_same(one: Any, other: Any) -> None:
    """All fields hold the same, at any depth."""
    for field in dataclasses.fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(ours):
            assert_same(ours, theirs)
        elif isinstance(ours, Tensor):
            assert ours.equal(theirs)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs


def test_reprs_are_lines_that_say_what_is_there() -> None:
    coded = Masks.from_dense(np.ones((300, 40, 50), bool))
    many = Instances((40, 50), coded.boxes_xyxy(), torch.zeros(300).long(), coded, torch.ones(300))
    assert repr(coded) == "Masks(40x50, 300)"
    assert repr(many) == "Instances(40x50, 300, boxes, masks, scores)"
    assert repr(Instances.empty(SIZE)) == "Instances(4x5, 0, boxes)"
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    assert repr(Sample("a/b", image())) == "Sample('a/b', 4x5)"
    assert repr(Sample("a", image(), labels, instances())) == "Sample('a', 4x5, label_map, 2 instances)"
    assert repr(Prediction("a", (40, 50), instances=many)) == "Prediction('a', 40x50, 300 instances)"
    one = instances()[[0]]
    assert repr(Prediction("a", SIZE, labels, one)) == "Prediction('a', 4x5, label_map, 1 instance)"
    assert repr(Prediction("a", SIZE, extras={"depth": 1})) == "Prediction('a', 4x5, depth)"
