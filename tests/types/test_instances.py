"""Instances: what is refused and how it is said, and picking some of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from types_cases import BOX, INFINITY, NAN, SIZE, image, instances, masks, refused

from toolkit.types import Instances, Masks, Sample

BAD_INSTANCES: dict[str, tuple[dict[str, Any], str]] = {
    "boxes in a list": (
        {"boxes_xyxy": [[0.0, 0, 2, 2]]},
        "boxes_xyxy must be a tensor of float32 [any, 4], not list [[0.0, 0, 2, 2]]",
    ),
    "boxes of NumPy": (
        {"boxes_xyxy": BOX.numpy()},
        "boxes_xyxy must be a tensor of float32 [any, 4], not a NumPy array of float32 [2, 4]",
    ),
    "no boxes": ({"boxes_xyxy": None}, "boxes_xyxy must be a tensor of float32 [any, 4], not NoneType None"),
    "double boxes": (
        {"boxes_xyxy": BOX.double()},
        "must be a tensor of float32 [any, 4], not float64 [2, 4]",
    ),
    "whole boxes": ({"boxes_xyxy": BOX.long()}, "must be a tensor of float32 [any, 4], not int64 [2, 4]"),
    "one box": ({"boxes_xyxy": BOX[0]}, "boxes_xyxy must be a tensor of float32 [any, 4], not float32 [4]"),
    "boxes of five": ({"boxes_xyxy": torch.zeros(2, 5)}, "float32 [any, 4], not float32 [2, 5]"),
    "NaN in a box": ({"boxes_xyxy": BOX * NAN}, "boxes_xyxy has NaN or infinite values"),
    "an infinite box": ({"boxes_xyxy": BOX + torch.tensor([0, 0, 0, INFINITY])}, "NaN or infinite values"),
    "x, y, width, height": (
        {"boxes_xyxy": torch.tensor([[0.0, 0, 2, 2], [3, 1, 2, 3]])},
        "boxes_xyxy[1] has x1 < x0 or y1 < y0: [3.0, 1.0, 2.0, 3.0]",
    ),
    "upside down": (
        {"boxes_xyxy": torch.tensor([[0.0, 3, 2, 2], [1, 1, 5, 4]])},
        "boxes_xyxy[0] has x1 < x0 or y1 < y0: [0.0, 3.0, 2.0, 2.0]",
    ),
    "labels in a list": ({"labels": [0, 3]}, "labels must be a tensor of int64 [2], not list [0, 3]"),
    "labels of uint8": (
        {"labels": torch.tensor([0, 3], dtype=torch.uint8)},
        "labels must be a tensor of int64 [2], not uint8 [2]",
    ),
    "labels of int32": ({"labels": torch.tensor([0, 3]).int()}, "int64 [2], not int32 [2]"),
    "labels of floats": ({"labels": torch.tensor([0.0, 3])}, "int64 [2], not float32 [2]"),
    "too few labels": ({"labels": torch.tensor([0])}, "labels must be a tensor of int64 [2], not int64 [1]"),
    "labels in a column": ({"labels": torch.tensor([[0], [3]])}, "int64 [2], not int64 [2, 1]"),
    "a label below 0": ({"labels": torch.tensor([0, -1])}, "labels must be 0 or more, not -1"),
    "dense masks": (
        {"masks": torch.ones(2, 4, 5, dtype=torch.bool)},
        "masks must be Masks or None, not bool [2, 4, 5]",
    ),
    "too few masks": ({"masks": masks(1)}, "masks must be 2 masks of (4, 5), not 1 of (4, 5)"),
    "masks of another size": ({"masks": masks(2, (5, 4))}, "must be 2 masks of (4, 5), not 2 of (5, 4)"),
    "double scores": ({"scores": torch.ones(2).double()}, "a tensor of float32 [2], not float64 [2]"),
    "scores in a list": ({"scores": [0.5, 1]}, "scores must be a tensor of float32 [2], not list [0.5, 1]"),
    "too many scores": ({"scores": torch.ones(3)}, "a tensor of float32 [2], not float32 [3]"),
    "NaN as score": ({"scores": torch.tensor([0.5, NAN])}, "scores has NaN or infinite values"),
    "an infinite score": ({"scores": torch.tensor([0.5, INFINITY])}, "scores has NaN or infinite values"),
    "keypoints without visibility": (
        {"keypoints": torch.zeros(2, 7, 2)},
        "keypoints must be a tensor of float32 [2, any, 3], not float32 [2, 7, 2]",
    ),
    "flat keypoints": ({"keypoints": torch.zeros(2, 21)}, "float32 [2, any, 3], not float32 [2, 21]"),
    "double keypoints": ({"keypoints": torch.zeros(2, 7, 3).double()}, "[2, any, 3], not float64 [2, 7, 3]"),
    "NaN as keypoint": ({"keypoints": torch.full((2, 7, 3), NAN)}, "keypoints has NaN or infinite values"),
    "crowds as numbers": (
        {"is_crowd": torch.tensor([0, 1], dtype=torch.uint8)},
        "is_crowd must be a tensor of bool [2], not uint8 [2]",
    ),
    "too few crowds": ({"is_crowd": torch.tensor([True])}, "a tensor of bool [2], not bool [1]"),
    "areas of float32": ({"areas": torch.ones(2)}, "areas must be a tensor of float64 [2], not float32 [2]"),
    "too few areas": ({"areas": torch.ones(1).double()}, "a tensor of float64 [2], not float64 [1]"),
    "an area below 0": ({"areas": torch.tensor([1.0, -1]).double()}, "areas must be 0 or more"),
    "ids in a list": ({"ids": ["a", "b"]}, "ids must be a tuple of 2 str, not list ['a', 'b']"),
    "ids as numbers": ({"ids": (1, 2)}, "ids must be a tuple of 2 str, not tuple (1, 2)"),
    "too few ids": ({"ids": ("a",)}, "ids must be a tuple of 2 str, not tuple ('a',)"),
    "NaN as area": ({"areas": torch.tensor([1, NAN]).double()}, "areas must be 0 or more, and neither NaN"),
}


@pytest.mark.parametrize(("fields", "message"), BAD_INSTANCES.values(), ids=BAD_INSTANCES)
def test_bad_instances(fields: dict[str, Any], message: str) -> None:
    refused(lambda: instances(**fields), "Instances.", message)


def test_every_field_of_instances_is_refused_somewhere() -> None:
    fields = {field.name for field in dataclasses.fields(Instances)}
    assert {name for wrong, _ in BAD_INSTANCES.values() for name in wrong} == fields - {"size"}


INDEXES: dict[str, tuple[Any, list[int]]] = {
    "everything": (slice(None), [0, 1, 2, 3]),
    "a slice": (slice(1, 3), [1, 2]),
    "a step backward": (slice(None, None, -1), [3, 2, 1, 0]),
    "a slice beyond the end": (slice(2, 99), [2, 3]),
    "a list": ([2, 0], [2, 0]),
    "a tuple": ((3,), [3]),
    "the same twice": ([1, 1], [1, 1]),
    "from the end": ([-1, -4], [3, 0]),
    "nothing": ([], []),
    "truth values": ([True, False, False, True], [0, 3]),
    "all false": ([False] * 4, []),
    "a tensor": (torch.tensor([3, 1]), [3, 1]),
    "a tensor of int32": (torch.tensor([3, 1], dtype=torch.int32), [3, 1]),
    "a bool tensor": (torch.tensor([False, True, True, False]), [1, 2]),
    "an empty tensor": (torch.tensor([]), []),
    "NumPy": (np.array([0, 2]), [0, 2]),
    "a bool array": (np.array([True, False, True, False]), [0, 2]),
    "an array of uint8": (np.array([3, 0], np.uint8), [3, 0]),
}


@pytest.mark.parametrize(("index", "picked"), INDEXES.values(), ids=INDEXES)
def test_what_is_picked_out(index: Any, picked: list[int]) -> None:
    coded = Masks.from_dense(np.eye(4, dtype=bool)[:, None])
    some = coded[index]
    assert some.size == coded.size
    assert some.counts == tuple(coded.counts[i] for i in picked)
    four = Instances((1, 4), coded.boxes_xyxy(), torch.arange(4), coded, ids=tuple("abcd"))
    assert four[index].labels.tolist() == picked
    assert four[index].masks == some
    assert four[index].ids == tuple("abcd"[i] for i in picked)


@pytest.mark.parametrize(
    ("index", "found"),
    [
        (1, "int 1"),
        (torch.tensor(1), "int64 []"),
        (np.array([[0, 1]]), "a NumPy array of int64 [1, 2]"),
        (torch.tensor([0.9, 0.1]), "float32 [2]"),  # scores, where a comparison of scores was meant
        ([0.9, 0.1], "list [0.9, 0.1]"),
        (["a"], "list ['a']"),
        (None, "NoneType None"),
    ],
    ids=str,
)
def test_what_cannot_be_picked(index: Any, found: str) -> None:
    message = f"must be a slice, or a list or array [N] of positions or booleans, not {found}"
    refused(lambda: masks()[index], message)
    refused(lambda: instances()[index], message)


def test_positions_beyond_the_end_are_index_errors() -> None:
    for wrong in ([2], [-3], [True], [True, False, True]):
        with pytest.raises(IndexError):
            instances()[wrong]
        with pytest.raises(IndexError):
            masks()[wrong]


@st.composite
def any_instances(draw: st.DrawFn) -> Instances:
    """Up to six objects with any of the optional fields, no two of them alike."""
    n, size = draw(st.integers(0, 6)), (7, 8)
    corners = torch.arange(n)[:, None].float()
    optional: dict[str, Any] = {
        "masks": Masks.from_dense(np.arange(56).reshape(1, *size) <= np.arange(n).reshape(-1, 1, 1)),
        "scores": torch.linspace(0, 1, n),
        "keypoints": torch.arange(n * 6).reshape(n, 2, 3).float(),
        "is_crowd": torch.arange(n) % 2 == 1,
        "areas": torch.arange(n).double() + 0.5,
    }
    kept = draw(st.sets(st.sampled_from(sorted(optional))))
    fields = {name: value for name, value in optional.items() if name in kept}
    return Instances(
        size, torch.cat([corners, corners + 1, corners + 2, corners + 3], 1), torch.arange(n), **fields
    )


@given(any_instances(), st.data())
def test_picking_filters_every_field_at_once(everything: Instances, data: st.DataObject) -> None:
    n = len(everything)
    kinds = [st.lists(st.booleans(), min_size=n, max_size=n)]
    if n:
        kinds.append(st.lists(st.integers(-n, n - 1), max_size=9))  # type: ignore[arg-type]
    index = data.draw(st.one_of(kinds))
    flags = bool(index) and isinstance(index[0], bool)
    picked = [i for i, kept in enumerate(index) if kept] if flags else [i % n for i in index]
    some = everything[torch.tensor(index, dtype=torch.bool if flags else torch.int64)]
    assert len(some) == len(picked)
    assert some.size == everything.size
    for field in dataclasses.fields(Instances):
        before, after = getattr(everything, field.name), getattr(some, field.name)
        if field.name == "size" or before is None:
            assert after == before
        elif isinstance(before, Masks):
            assert after.counts == tuple(before.counts[i] for i in picked)
        else:
            assert after.dtype == before.dtype
            assert after.tolist() == [before[i].tolist() for i in picked]


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("with_scores", [False, True])
def test_no_objects(with_masks: bool, with_scores: bool) -> None:
    none = Instances.empty(SIZE, with_masks=with_masks, with_scores=with_scores)
    assert len(none) == 0
    assert (none.masks is None, none.scores is None) == (not with_masks, not with_scores)
    for index in (slice(None), [], torch.zeros(0, dtype=torch.bool), torch.zeros(0)):
        assert len(none[index]) == 0
        assert none[index].masks == none.masks
    assert Sample("a", image(), instances=none).instances is none
