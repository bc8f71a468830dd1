"""Prompts: what is refused and how it is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from types_cases import BOX, INFINITY, NAN, masks, prompts, refused

from toolkit.types import Prompts

POINTS = torch.tensor([[[1.0, 1], [2, 2]], [[3, 3], [0, 0]]])


BAD_PROMPTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (
        {"points_xy": None, "point_labels": None},
        "Prompts needs points_xy with point_labels, or boxes_xyxy, or both; it got neither",
    ),
    "labels alone": (
        {"points_xy": None, "boxes_xyxy": BOX},
        "Prompts.point_labels is given without points_xy",
    ),
    "points without labels": (
        {"point_labels": None},
        "Prompts.point_labels must be a tensor of int64 [2, 2], not NoneType None",
    ),
    "points in a list": (
        {"points_xy": [[[1, 1]]]},
        "Prompts.points_xy must be a tensor of float32 [any, any, 2], not list [[[1, 1]]]",
    ),
    "points of whole numbers": (
        {"points_xy": POINTS.long()},
        "Prompts.points_xy must be a tensor of float32 [2, any, 2], not int64 [2, 2, 2]",
    ),
    "a point for each object": (
        {"points_xy": POINTS[:, 0]},
        "Prompts.points_xy must be a tensor of float32 [2, any, 2], not float32 [2, 2]",
    ),
    "a number": ({"points_xy": torch.tensor(3.0)}, "points_xy must be a tensor of float32 [any, any, 2]"),
    "labels of floats": (
        {"point_labels": torch.ones(2, 2)},
        "Prompts.point_labels must be a tensor of int64 [2, 2], not float32 [2, 2]",
    ),
    "truth values as labels": (
        {"point_labels": torch.ones(2, 2, dtype=torch.bool)},
        "Prompts.point_labels must be a tensor of int64 [2, 2], not bool [2, 2]",
    ),
    "too few labels": ({"point_labels": torch.ones(2, 1).long()}, "int64 [2, 2], not int64 [2, 1]"),
    "a label of SAM's boxes": (
        {"point_labels": torch.tensor([[1, 0], [2, 3]])},
        "Prompts.point_labels must be 1 (on the object), 0 (off it) or -1 (padding), not 2",
    ),
    "a label below the padding": ({"point_labels": torch.tensor([[1, 0], [-2, 1]])}, "(padding), not -2"),
    "NaN as point": ({"points_xy": POINTS * NAN}, "Prompts.points_xy has NaN or infinite values"),
    "an infinite point": ({"points_xy": POINTS + INFINITY}, "Prompts.points_xy has NaN or infinite values"),
    "double boxes": ({"boxes_xyxy": BOX.double()}, "must be a tensor of float32 [2, 4], not float64 [2, 4]"),
    "too few boxes": ({"boxes_xyxy": BOX[:1]}, "Prompts.boxes_xyxy must be a tensor of float32 [2, 4]"),
    "NaN in a box": ({"boxes_xyxy": BOX * NAN}, "Prompts.boxes_xyxy has NaN or infinite values"),
    "a box from right to left": (
        {"boxes_xyxy": torch.tensor([[0.0, 0, 2, 2], [3, 1, 2, 3]])},
        "Prompts.boxes_xyxy[1] has x1 < x0 or y1 < y0: [3.0, 1.0, 2.0, 3.0]",
    ),
    "classes by name": (
        {"labels": ["cat", "dog"]},
        "Prompts.labels must be a tensor of int64 [2], not list ['cat', 'dog']",
    ),
    "too many classes": ({"labels": torch.zeros(3).long()}, "a tensor of int64 [2], not int64 [3]"),
    "a class below 0": ({"labels": torch.tensor([0, -1])}, "Prompts.labels must be 0 or more, not -1"),
}


@pytest.mark.parametrize(("fields", "message"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_bad_prompts(fields: dict[str, Any], message: str) -> None:
    refused(lambda: prompts(**fields), message)


def test_boxes_alone_must_be_a_tensor() -> None:
    refused(
        lambda: Prompts(boxes_xyxy=7), "Prompts.boxes_xyxy must be a tensor of float32 [any, 4], not int 7"
    )  # type: ignore[arg-type]


def test_prompts_count_objects_and_not_points() -> None:
    assert len(prompts()) == 2
    assert len(prompts(points_xy=torch.zeros(2, 9, 2), point_labels=torch.ones(2, 9).long())) == 2
    assert len(Prompts(boxes_xyxy=BOX[[0, 1, 1]])) == 3
    assert len(prompts(boxes_xyxy=BOX, labels=torch.tensor([0, 9]))) == 2


# Masks, earlier answers and ids


LOGITS = torch.zeros(2, 3, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"masks": masks(3)}, "Prompts.masks must be 2 masks, not 3"),
        ({"masks": torch.ones(2, 4, 5)}, "Prompts.masks must be Masks or None, not float32 [2, 4, 5]"),
        ({"masks": masks(2), "logits": LOGITS}, "Prompts has masks and logits; expected one of them"),
        (
            {"logits": LOGITS[:1]},
            "Prompts.logits must be a tensor of float32 [2, any, any], not float32 [1, 3, 3]",
        ),
        ({"logits": LOGITS.double()}, "must be a tensor of float32 [2, any, any], not float64 [2, 3, 3]"),
        ({"logits": LOGITS[:, :0]}, "Prompts.logits must have pixels, not float32 [2, 0, 3]"),
        ({"logits": LOGITS + NAN}, "Prompts.logits has NaN or infinite values"),
        ({"ids": ["a", "b"]}, "Prompts.ids must be a tuple of 2 str, not list ['a', 'b']"),
        ({"ids": ("a",)}, "Prompts.ids must be a tuple of 2 str, not tuple ('a',)"),
        ({"ids": ("a", 1)}, "Prompts.ids must be a tuple of 2 str"),
        ({"ids": ("a", "a")}, "Prompts.ids has 'a' more than once; expected different names"),
    ],
)
def test_bad_masks_logits_and_ids(fields: dict[str, Any], message: str) -> None:
    refused(lambda: prompts(**fields), message)


def test_masks_or_logits_alone_are_prompts() -> None:
    assert len(Prompts(masks=masks(3))) == 3
    assert len(Prompts(logits=torch.zeros(4, 2, 9), ids=("1", "2", "3", "c"))) == 4
    assert len(Prompts(logits=torch.zeros(0, 2, 2))) == 0
    assert Prompts(masks=masks(1)).has_masks
    assert not prompts().has_masks
    refused(lambda: Prompts(labels=torch.tensor([1]), ids=("a",)), "it got neither, and no masks or logits")
