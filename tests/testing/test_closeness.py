"""Whether predictions are the same or nearly, and the words for how they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toolkit.testing.closeness import BOX, PIXELS, SCORE, difference
from toolkit.types import Instances, Masks, PanopticMap, Prediction, Segment

SIZE = (50, 60)


def prediction(
    *, shift: int = 0, off: float = 0.0, size: tuple[int, int] = SIZE, **fields: Any
) -> Prediction:
    """Two objects, one without a pixel; ``shift`` moves the mask of the other, ``off`` its box and score."""
    dense = np.zeros((2, *size), bool)
    dense[0, 10:40, 10 + shift : 40 + shift] = True
    right: dict[str, Any] = {
        "boxes_xyxy": torch.tensor([[10.0 + off, 10, 40, 40], [0, 0, 0, 0]]),
        "labels": torch.tensor([1, 0]),
        "masks": Masks.from_dense(dense),
        "scores": torch.tensor([0.75, 0.5]) + off / 100,
    }
    return Prediction("a", size, instances=Instances(size, **(right | fields)))


def label_map(wrong: int = 0) -> Prediction:
    """All of class 0, but for the first pixels."""
    classes = torch.zeros(SIZE, dtype=torch.uint8)
    classes.view(-1)[:wrong] = 1
    return Prediction("a", SIZE, classes)


@pytest.mark.parametrize("exact", [False, True])
def test_the_same_does_not_differ(exact: bool) -> None:
    none = Prediction("a", SIZE, instances=Instances.empty(SIZE, with_masks=True, with_scores=True))
    for one, other in ((prediction(), prediction()), (label_map(), label_map()), (none, none)):
        assert difference(one, other, exact=exact) == ""


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (prediction(size=(50, 61)), "sizes (50, 60) and (50, 61)"),
        (label_map(), "only one has label_map"),
        (
            Prediction("a", SIZE, torch.zeros(SIZE, dtype=torch.uint8), prediction().instances),
            "only one has label_map",
        ),
        (Prediction("a", SIZE, instances=Instances.empty(SIZE)), "2 and 0 objects"),
        (prediction(labels=torch.tensor([0, 1])), "labels [1, 0] and [0, 1]"),
        (prediction(scores=None), "only one has scores, or masks"),
        (prediction(masks=None), "only one has scores, or masks"),
        (prediction(off=1.0), "boxes up to 1 pixels apart"),
        (prediction(scores=torch.tensor([0.75, 0.75])), "scores up to 0.25 apart"),
        (prediction(shift=6), "masks with an IoU of only 0.667"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_they_differ(other: Prediction, words: str) -> None:
    for exact in (False, True):
        assert difference(prediction(), other, exact=exact) == words
        assert difference(other, prediction(), exact=exact), "and the other way round"


def test_label_maps_may_differ_where_classes_tie() -> None:
    few = int(PIXELS * SIZE[0] * SIZE[1]) - 1
    assert difference(label_map(), label_map(few)) == ""
    assert (
        difference(label_map(), label_map(few), exact=True) == "the label maps differ in 0.2% of the pixels"
    )
    assert difference(label_map(), label_map(300)) == "the label maps differ in 10.0% of the pixels"


def test_boxes_and_scores_may_differ_by_rounding() -> None:
    nearly = prediction(off=0.9 * min(BOX, 100 * SCORE))
    assert difference(prediction(), nearly) == ""
    assert difference(prediction(), nearly, exact=True).startswith("boxes up to 0.09")


def test_two_empty_masks_are_the_same_and_an_empty_one_is_like_no_other() -> None:
    empty = Masks.from_dense(np.zeros((2, *SIZE), bool))
    assert difference(prediction(masks=empty), prediction(masks=empty), exact=True) == ""
    assert difference(prediction(), prediction(masks=empty)) == "masks with an IoU of only 0.000"


def segments(*, wrong: int = 0, label: int = 1, score: float | None = 0.5) -> Prediction:
    """Two segments, of which some pixels are exchanged."""
    numbers = torch.ones(SIZE, dtype=torch.int32)
    numbers[:10] = 2
    numbers.view(-1)[-wrong or numbers.numel() :] = 2
    found = PanopticMap(numbers, (Segment(0, False), Segment(label, True, score=score)))
    return Prediction("a", SIZE, extras={"panoptic": found})


def test_segments_are_compared() -> None:
    few = int(PIXELS * SIZE[0] * SIZE[1]) - 1
    assert difference(segments(), segments(), exact=True) == ""
    given = segments().extras["panoptic"]
    numbered = PanopticMap(3 - given.numbers, given.segments[::-1])
    assert difference(segments(), Prediction("a", SIZE, extras={"panoptic": numbered}), exact=True) == ""
    assert difference(segments(), segments(wrong=few)) == ""
    assert "the segments differ in" in difference(segments(), segments(wrong=few), exact=True)
    assert "the segments differ in" in difference(segments(), segments(wrong=few + 9))
    assert "2 and 2 segments, or others" in difference(segments(), segments(label=2))
    assert "only one has scores" in difference(segments(), segments(score=None))
    assert difference(segments(), segments(score=0.5 + SCORE / 2)) == ""
    assert "the scores 0.5 and 0.6" in difference(segments(), segments(score=0.6))
    other = Prediction("a", SIZE, extras={"panoptic": 3})
    assert "segments and int" in difference(segments(), other)


def test_numbers_of_the_image_as_a_whole_may_differ_by_rounding() -> None:
    def scored(value: object) -> Prediction:
        return Prediction("a", SIZE, extras={"score": value})

    assert difference(scored(0.5), scored(0.5 + 1e-7)) == ""
    assert difference(scored(0.5), scored(0.5 + 1e-7), exact=True).startswith("score differs by up to 2e-07")
    assert difference(scored(0.5), scored(0.6)).startswith("score differs by up to 0.2")
    assert difference(scored(float("nan")), scored(float("nan")), exact=True) == ""
    assert difference(scored(float("nan")), scored(0.5)).startswith("score differs")
    assert difference(scored(3), scored(4)).startswith("score differs by up to inf"), "counts are exact"
