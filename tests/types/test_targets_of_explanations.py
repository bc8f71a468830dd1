"""What a ``Target`` needs, by its kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toolkit import Prompts, Target
from toolkit.errors import InvalidDataError

MASK = torch.ones(4, 6, dtype=torch.bool)
BOX = torch.tensor([1.0, 2.0, 3.0, 4.0])
PROMPTS = Prompts(boxes_xyxy=BOX[None])


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "class", "label": 0},
        {"kind": "class", "label": 2, "mask": MASK},
        {"kind": "region", "label": 0, "mask": MASK},
        {"kind": "object", "label": 0, "box_xyxy": BOX, "number": 3, "part": "mask", "mask": MASK},
        {"kind": "prompt", "prompts": PROMPTS, "mask": MASK},
    ],
)
def test_targets_are_equal_by_value(given: dict[str, Any]) -> None:
    assert Target(**given) == Target(**given)
    assert Target(**given) != Target("class", 7)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "thing"}, "must be one of .*'class'.*, not 'thing'"),
        ({"kind": "class"}, "kind 'class' needs label"),
        ({"kind": "class", "label": -1}, "label must be 0 or more, not -1"),
        ({"kind": "region", "label": 1}, "kind 'region' needs mask"),
        ({"kind": "object", "label": 1}, "kind 'object' needs box_xyxy"),
        ({"kind": "object", "box_xyxy": BOX}, "kind 'object' needs label"),
        ({"kind": "object", "label": 1, "box_xyxy": BOX.flip(0)}, "x1 < x0"),
        ({"kind": "object", "label": 1, "box_xyxy": BOX, "part": "box"}, "class or mask, not 'box'"),
        ({"kind": "prompt", "prompts": PROMPTS}, "kind 'prompt' needs mask"),
        ({"kind": "prompt", "mask": MASK}, "kind 'prompt' needs prompts"),
        ({"kind": "prompt", "mask": MASK, "prompts": BOX}, "prompts must be Prompts"),
        (
            {"kind": "prompt", "mask": MASK, "prompts": Prompts(boxes_xyxy=torch.stack([BOX, BOX]))},
            "one prompt, not 2",
        ),
        ({"kind": "class", "label": 0, "mask": MASK.float()}, "mask must be a tensor of bool"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        Target(**given)
