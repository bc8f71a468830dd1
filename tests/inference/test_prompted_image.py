"""An encoded image and objects that never change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plugins.sam2_cases import scene, toy

from toolkit import Predictor
from toolkit.errors import InvalidDataError
from toolkit.inference.prompted_image import PromptedImage, PromptedObject


@pytest.fixture(scope="module")
def image() -> PromptedImage:
    return PromptedImage(Predictor(toy(corrections=1), device="cpu"), scene().image)


def test_prompts_make_new_objects(image: PromptedImage) -> None:
    empty = PromptedObject("cup")
    first = image.answered(image.with_point(empty, 20, 30))
    second = image.with_point(first, 40, 10, positive=False)
    assert empty == PromptedObject("cup")
    assert (first.points_xy, second.points_xy) == (((20.0, 30.0),), ((20.0, 30.0), (40.0, 10.0)))
    assert second.point_labels == (1, 0)
    assert second.logits is first.logits, "which the model refines"
    again = image.answered(image.with_point(empty, 20, 30))
    assert again.logits is not None
    assert first.logits is not None
    assert torch.equal(again.logits, first.logits)


def test_a_box_and_a_mask_forget_the_earlier_answer(image: PromptedImage) -> None:
    first = image.answered(image.with_point(PromptedObject(), 20, 30))
    boxed = image.with_box(first, -5, 3, 1000, 40)
    assert boxed.box_xyxy == (0, 3, 84, 40), "within the image"
    assert boxed.logits is None
    assert boxed.points_xy == first.points_xy
    masked = image.with_mask(image.answered(boxed), np.ones((60, 84), bool))
    assert masked.logits is None
    assert masked.mask is not None


@pytest.mark.parametrize(
    "box", [(10, 10, 10, 20), (90, 0, 99, 9), (0, 0, float("nan"), 5), (5, float("nan"), 9, float("nan"))]
)
def test_boxes_without_an_inside_are_refused(image: PromptedImage, box: tuple[float, ...]) -> None:
    with pytest.raises(InvalidDataError, match="does not overlap the image"):
        image.with_box(PromptedObject(), *box)


@pytest.mark.parametrize("point", [(84, 1), (1, 60), (-0.1, 1), (float("nan"), 1), (1, float("inf"))])
def test_points_outside_are_refused(image: PromptedImage, point: tuple[float, float]) -> None:
    with pytest.raises(InvalidDataError, match="lies outside the image"):
        image.with_point(PromptedObject(), *point)
