"""Images are encoded once, and only the last few are kept."""

from __future__ import annotations

import numpy as np
import pytest
from support.annotated import Pointed, predictor

from toolkit.annotate.prompting import MOST_ENCODED, Prompting
from toolkit.errors import InvalidDataError, UsageError


def picture(height: int) -> np.ndarray:
    return np.zeros((height, 20, 3), np.uint8)


def test_images_are_encoded_once_and_forgotten() -> None:
    one = predictor("prompts")
    model = one.model
    assert isinstance(model, Pointed)
    prompting, reads = Prompting(one), []

    def read(height: int) -> np.ndarray:
        reads.append(height)
        return picture(height)

    for height in (10, 11, 10, 10):
        assert prompting.encoded(height, lambda height=height: read(height)).size == (height, 20)
    assert reads == [10, 11]
    for height in range(12, 12 + MOST_ENCODED):
        prompting.encoded(height, lambda height=height: read(height))
    prompting.encoded(10, lambda: read(10))
    assert reads.count(10) == 2
    assert model.encoded[:2] == [(10, 20), (11, 20)]


def test_points_and_boxes_that_cannot_be_answered() -> None:
    prompting = Prompting(predictor("prompts"))
    encoded = prompting.encode(picture(10))
    assert prompting.answer(encoded, "cat", [(3, 4)], [1], None).name == "cat"
    assert prompting.answer(encoded, "cat", [(3, 4)], [0], None) is None
    for points, box in (
        ([], None),
        ([(20, 4)], None),
        ([(float("nan"), 4)], None),
        ([], [5, 5, float("nan"), 9]),
    ):
        with pytest.raises(InvalidDataError):
            prompting.answer(encoded, "cat", points, [1] * len(points), box)


def test_models_that_take_no_prompts() -> None:
    with pytest.raises(UsageError, match="masks model takes no prompts"):
        Prompting(predictor("masks"))


def test_a_run_from_random_weights_refuses_prompts_that_it_has_not_learned() -> None:
    one = predictor("prompts")
    one.about["start_weights"] = {"name": "none"}
    one.model.untrained_prompts = ("box",)  # type: ignore[assignment]
    prompting = Prompting(one)
    encoded = prompting.encode(picture(10))
    with pytest.raises(UsageError, match="never with prompts of the kind box"):
        prompting.answer(encoded, "cat", [], [], [1, 1, 5, 5])
    assert prompting.answer(encoded, "cat", [(3, 4)], [1], None) is not None
