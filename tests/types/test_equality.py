"""What is equal: the types that hold tensors by value, and values with tensors in them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from types_cases import NAN, SIZE, image, instances, masks, prompts

from toolkit import types
from toolkit.data.checks import SplitReport
from toolkit.data.image_looks import Look, look_of
from toolkit.data.label_counts import LabelCounts
from toolkit.inference.image_prediction import ImagePrediction
from toolkit.types import (
    Instances,
    Masks,
    PanopticMap,
    PixelMap,
    Prediction,
    Prompts,
    Sample,
    Segment,
    Target,
)
from toolkit.types.equality import ByValue, equal


def label_map(value: int = 1) -> torch.Tensor:
    return torch.full(SIZE, value, dtype=torch.uint8)


def all_instances(**fields: Any) -> Instances:
    right: dict[str, Any] = {
        "masks": masks(),
        "scores": torch.tensor([0.5, 1]),
        "keypoints": torch.ones(2, 3, 3),
        "is_crowd": torch.tensor([False, True]),
        "areas": torch.tensor([1.0, 2]).double(),
        "ids": ("a", "b"),
    }
    return instances(**(right | fields))


def segments() -> PanopticMap:
    numbers = torch.ones(SIZE, dtype=torch.int32)
    numbers[0, 0] = 0
    return PanopticMap(numbers, (Segment(2, True, score=0.5),))


def depth() -> PixelMap:
    values = torch.arange(20).reshape(SIZE).float()
    values[1, 2] = NAN
    return PixelMap(values)


def sample() -> Sample:
    extras = {"depth": depth(), "panoptic": segments(), "raw": [torch.tensor([1]), {"a": np.arange(3)}]}
    return Sample("a", image(), label_map(), all_instances(), prompts(), "a.jpg", extras)


def prediction() -> Prediction:
    return Prediction("a", SIZE, label_map(), all_instances(), {"depth": depth()})


def counts() -> LabelCounts:
    found = LabelCounts(("x", "y", "z", "u"), 1)
    found.add(sample())
    return found


EXAMPLES = {
    Instances: all_instances,
    Masks: masks,
    PanopticMap: segments,
    PixelMap: depth,
    Prediction: prediction,
    Prompts: lambda: prompts(boxes_xyxy=torch.ones(2, 4), labels=torch.tensor([0, 1]), ids=("a", "b")),
    Sample: sample,
    Segment: lambda: Segment(2, True, score=0.5),
    Target: lambda: Target("region", 1, mask=torch.eye(3, dtype=torch.bool)),
    ImagePrediction: lambda: ImagePrediction.of(prediction(), sample(), classes=("x", "y")),
    LabelCounts: counts,
    Look: lambda: look_of(image()),
    SplitReport: lambda: SplitReport(("x", "y"), 1, looks={0: look_of(image())}),
}

CHANGES: dict[str, tuple[Any, Any]] = {
    "another box": (all_instances(), all_instances(boxes_xyxy=torch.zeros(2, 4))),
    "another label": (all_instances(), all_instances(labels=torch.tensor([0, 4]))),
    "another size": (instances(), instances(size=(5, 5))),
    "no scores": (all_instances(), all_instances(scores=None)),
    "scores of zero for none": (Instances.empty(SIZE), Instances.empty(SIZE, with_scores=True)),
    "one object of two": (all_instances(), all_instances()[[0]]),
    "other masks": (all_instances(), all_instances(masks=Masks.from_dense(np.zeros((2, *SIZE))))),
    "other ids": (all_instances(), all_instances(ids=("b", "a"))),
    "another order": (all_instances(), all_instances()[[1, 0]]),
    "another label map": (sample(), sample().with_(label_map=label_map(2))),
    "no label map": (prediction(), Prediction("a", SIZE, None, all_instances(), {"depth": depth()})),
    "another id": (sample(), sample().with_(id="b")),
    "another extra": (sample(), sample().with_(extras={**sample().extras, "raw": [torch.tensor([2])]})),
    "no extra": (sample(), sample().with_(extras={})),
    "known where nothing was": (depth(), PixelMap(depth().values.nan_to_num(7.0))),
    "another segment": (segments(), PanopticMap(segments().numbers, (Segment(2, False),))),
    "another point": (prompts(), prompts(points_xy=torch.ones(2, 2, 2))),
}


def test_every_type_has_an_example() -> None:
    exported = {getattr(types, name) for name in types.__all__}
    classes = {each for each in exported if dataclasses.is_dataclass(each)}
    assert classes <= EXAMPLES.keys()


@pytest.mark.parametrize("make", EXAMPLES.values(), ids=[each.__name__ for each in EXAMPLES])
def test_what_has_the_same_values_is_equal(make: Any) -> None:
    first, second = make(), make()
    assert first is not second
    assert first == second
    assert (first != second) is False
    assert first == copy.deepcopy(first)
    assert first == pickle.loads(pickle.dumps(first))
    assert second in [None, first]


@pytest.mark.parametrize(("first", "second"), CHANGES.values(), ids=CHANGES)
def test_what_differs_in_one_value_is_not_equal(first: Any, second: Any) -> None:
    assert first != second
    assert second != first
    assert (first == second) is False


@pytest.mark.parametrize("make", EXAMPLES.values(), ids=[each.__name__ for each in EXAMPLES])
def test_another_type_is_not_equal(make: Any) -> None:
    for other in (None, 1, "a", torch.ones(2), [make()]):
        assert (make() == other) is False


def test_a_prediction_with_its_classes_is_none_without() -> None:
    """Neither way around: a class that is derived has fields that the other has not."""
    bare = prediction()
    named = ImagePrediction.of(bare, sample(), classes=("x", "y"))
    assert named != bare
    assert bare != named


def test_what_can_change_in_place_has_no_hash() -> None:
    for kind, make in EXAMPLES.items():
        if issubclass(kind, ByValue):
            with pytest.raises(TypeError, match="unhashable"):
                hash(make())
    assert len({masks(), masks(), Segment(1, True), Segment(1, True)}) == 2


def test_a_field_that_is_not_compared_does_not_count() -> None:
    @dataclasses.dataclass(eq=False)
    class Cached(ByValue):
        values: torch.Tensor
        seconds: float = dataclasses.field(default=0.0, compare=False)

    assert Cached(torch.ones(2), 1.0) == Cached(torch.ones(2), 2.0)
    assert Cached(torch.ones(2)) != Cached(torch.zeros(2))


FLOATS = torch.tensor([1.0, NAN])
PAIRS: dict[str, tuple[Any, Any, bool]] = {
    "tensors": (torch.ones(2), torch.ones(2), True),
    "empty tensors": (torch.zeros(0), torch.zeros(0), True),
    "empty tensors of other shapes": (torch.zeros(0, 4), torch.zeros(0, 3), False),
    "scalars": (torch.tensor(1), torch.tensor(1), True),
    "a scalar and one value": (torch.tensor(1), torch.tensor([1]), False),
    "what would broadcast": (torch.ones(2), torch.ones(1, 2), False),
    "other dtypes": (torch.ones(2), torch.ones(2).double(), False),
    "NaN in the same place": (FLOATS, FLOATS.clone(), True),
    "NaN in another place": (FLOATS, FLOATS.flip(0), False),
    "NaN and a number": (FLOATS, torch.ones(2), False),
    "half precision": (FLOATS.half(), FLOATS.half(), True),
    "complex": (torch.tensor([1j]), torch.tensor([1j]), True),
    "truth values": (torch.tensor([True]), torch.tensor([False]), False),
    "views with other strides": (torch.eye(3).t(), torch.eye(3), True),
    "arrays": (np.array([1, 2]), np.array([1, 2]), True),
    "arrays of text": (np.array(["a"]), np.array(["a"]), True),
    "arrays with NaN": (np.array([NAN]), np.array([NAN]), True),
    "arrays of other dtypes": (np.array([1]), np.array([1.0]), False),
    "arrays of other shapes": (np.ones(2), np.ones((1, 2)), False),
    "a tensor and an array": (torch.ones(2), np.ones(2, np.float32), False),
    "an array and a list": (np.array([1]), [1], False),
    "a tensor and None": (torch.ones(1), None, False),
    "a number and a tensor": (1, torch.tensor(1), False),
    "lists": ([torch.ones(2), "a"], [torch.ones(2), "a"], True),
    "a longer list": ([torch.ones(2)], [torch.ones(2)] * 2, False),
    "a list and a tuple": ([1], (1,), False),
    "mappings in another order": ({"a": torch.ones(1), "b": 2}, {"b": 2, "a": torch.ones(1)}, True),
    "another key": ({"a": 1}, {"b": 1}, False),
    "a mapping and a list": ({}, [], False),
    "NaN": (float("nan"), float("nan"), True),
    "NaN and text": (float("nan"), "nan", False),
    "nothing": (None, None, True),
}


@pytest.mark.parametrize(("first", "second", "expected"), PAIRS.values(), ids=PAIRS)
def test_equal(first: Any, second: Any, expected: bool) -> None:
    assert equal(first, second) is expected
    assert equal(second, first) is expected
