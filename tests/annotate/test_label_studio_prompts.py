"""Marks of Label Studio's smart tools become points and a box in pixels."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.annotate.label_studio_prompts import Marks, marks_of
from toolkit.errors import ToolkitError

SIZE = (20, 40)


def mark(kind: str, label: str = "cat", **value: Any) -> dict[str, Any]:
    outer = {key: value.pop(key) for key in ("is_positive", "image_rotation") if key in value}
    return {
        "type": kind,
        "original_width": 40,
        "original_height": 20,
        "value": {**value, kind: [label]},
        **outer,
    }


def test_points_and_a_box() -> None:
    results = [
        mark("keypointlabels", x=50, y=25, width=0.3, is_positive=1),
        mark("keypointlabels", x=100, y=100, is_positive=False),
        mark("rectanglelabels", "dog", x=10, y=10, width=50, height=50, rotation=0),
    ]
    marks = marks_of({"result": results}, SIZE)
    assert marks is not None
    assert marks.label == "dog"
    assert marks.points[0] == (20, 5)
    assert (int(marks.points[1][0]), int(marks.points[1][1])) == (39, 19)
    assert marks.labels == (1, 0)
    assert marks.box == (4, 2, 24, 12)


def test_one_point_without_a_label() -> None:
    result = {"type": "keypoint", "value": {"x": 0, "y": 0}}
    assert marks_of({"result": [result]}, SIZE) == Marks("", ((0, 0),), (1,), None)


@pytest.mark.parametrize(
    "context", [None, {}, 3, {"result": 3}, {"result": []}, {"result": [mark("choices")]}]
)
def test_no_marks(context: Any) -> None:
    assert marks_of(context, SIZE) is None


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (3, "expected a record with a value"),
        ({"type": "keypoint"}, "expected a record with a value"),
        (mark("keypointlabels", x=5), "y has None among its numbers"),
        (mark("keypointlabels", x="5", y=5), "x has '5'"),
        (mark("rectanglelabels", x=5, y=float("nan"), width=1, height=1), "y has nan"),
        (mark("keypointlabels", x=5, y=5, image_rotation=90), "rotated image"),
    ],
)
def test_marks_that_cannot_be_read(result: Any, message: str) -> None:
    with pytest.raises(ToolkitError, match=rf"context.result\[0\].*{message}"):
        marks_of({"result": [result]}, SIZE)
