"""The bodies of requests: typed, without unknown fields, without numbers that are none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from toolkit.serve.schemas import Body, Categories, ImageOf, Labels, PredictBody, PromptBody, TrainingBody


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (ImageOf, {"name": "a"}),
        (PredictBody, {"name": "a", "score_threshold": 1}),
        (PromptBody, {"points": [[1, 2.5]], "labels": [1], "box": None}),
        (Labels, {"objects": [], "revision": "abc"}),
        (Categories, {"categories": [{"name": "a", "id": None, "objects": 3}]}),
        (TrainingBody, {"name": "a", "settings": {"train.steps": 3}}),
    ],
)
def test_what_fits(schema: type[Body], given: dict[str, Any]) -> None:
    assert schema.model_validate(given)
    with pytest.raises(ValidationError, match="Extra inputs"):
        schema.model_validate({**given, "more": 1})


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (ImageOf, {"name": None}),
        (PredictBody, {"name": "a", "score_threshold": float("nan")}),
        (PromptBody, {"points": [[1, float("inf")]], "labels": [1]}),
        (PromptBody, {"points": [[1, 2]], "labels": ["1"]}),
        (PromptBody, {"points": [[1, 2]], "labels": [True]}),
        (PromptBody, {"box": [1, 2, 3, 4, 5]}),
        (PromptBody, {"mask": {"size": [1], "counts": ""}}),
        (PromptBody, {"after": 0.5}),
        (Labels, {"objects": [{"category": 1, "rle": {"size": [1, 1], "counts": "0"}}]}),
        (Labels, {"objects": None}),
        (Categories, {"categories": [{"name": "a"}] * 1001}),
        (TrainingBody, {"name": "a", "settings": [1]}),
    ],
)
def test_what_does_not(schema: type[Body], given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schema.model_validate(given)
