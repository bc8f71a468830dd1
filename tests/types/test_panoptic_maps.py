from __future__ import annotations

import math

import pytest
import torch
from types_cases import refused

from toolkit.errors import InvalidDataError
from toolkit.types import VOID, PanopticMap, Prediction, Sample, Segment

SKY, CUP, CROWD = Segment(0, False), Segment(1, True, score=0.9), Segment(1, True, is_crowd=True)


def numbers(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int32)


def test_what_it_says_of_each_pixel() -> None:
    panoptic = PanopticMap(numbers([1, 1, 2], [0, 3, 2]), (SKY, CUP, CROWD))
    assert panoptic.size == (2, 3)
    assert panoptic.areas().tolist() == [2, 2, 1]
    assert panoptic.label_map().tolist() == [[0, 0, 1], [VOID, 1, 1]]
    things = panoptic.things()
    assert things.labels.tolist() == [1, 1]
    assert things.boxes_xyxy.tolist() == [[2, 0, 3, 2], [1, 1, 2, 2]]
    assert things.is_crowd is not None
    assert things.is_crowd.tolist() == [False, True]
    assert things.scores is None, "the crowd has none"
    assert panoptic.instances([2]).scores is not None
    assert repr(panoptic) == "PanopticMap(2x3, 2 things, 1 of stuff)"


def test_nothing_known_is_a_map_too() -> None:
    empty = PanopticMap(numbers([0, 0]))
    assert len(empty.things()) == 0
    assert empty.label_map().tolist() == [[VOID, VOID]]
    assert empty.areas().tolist() == []


def test_compacting_drops_what_covers_nothing_and_what_is_none() -> None:
    given = numbers([4, 4, 2], [0, 3, 2])
    found = PanopticMap.compacted(given, [SKY, None, CUP, CROWD])
    assert found.segments == (CUP, CROWD)
    assert found.numbers.tolist() == [[2, 2, 0], [0, 1, 0]]
    assert given.tolist() == [[4, 4, 2], [0, 3, 2]], "what is given stays as it is"


def test_other_labels() -> None:
    panoptic = PanopticMap(numbers([1, 2]), (SKY, CUP))
    found = panoptic.relabeled([None, 7])
    assert found.segments == (Segment(7, True, score=0.9),)
    assert found.numbers.tolist() == [[0, 1]]


def test_what_does_not_fit_is_refused() -> None:
    refused(lambda: PanopticMap(torch.zeros((2, 2), dtype=torch.int64)), "int32 [any, any]")
    refused(lambda: PanopticMap(numbers([2]), (SKY,)), "has 2, but there are 1 segment", "0 for void")
    refused(lambda: PanopticMap(numbers([-1]), (SKY,)), "has -1")
    refused(lambda: PanopticMap(numbers([1]), (SKY, CUP)), "segments[[1]] covers no pixel")
    refused(lambda: PanopticMap(numbers([1]), [SKY]), "must be a tuple of Segment")  # type: ignore[arg-type]
    refused(lambda: PanopticMap(numbers([1]), (Segment(-1, True),)), "label is below 0")
    refused(lambda: PanopticMap(numbers([1]), (Segment(0, True, score=math.nan),)), "score is nan")
    with pytest.raises(InvalidDataError, match="a label map can hold class indexes up to 254, not 255"):
        PanopticMap(numbers([1]), (Segment(255, False),)).label_map()


def test_samples_and_predictions_know_its_size() -> None:
    panoptic = PanopticMap(numbers([0, 0]))
    image = torch.zeros((3, 2, 2), dtype=torch.uint8)
    refused(lambda: Sample("a", image, extras={"panoptic": panoptic}), "is a map of (1, 2)", "(2, 2)")
    refused(lambda: Prediction("a", (2, 2), extras={"panoptic": panoptic}), "is a map of (1, 2)")
    assert Prediction("a", (1, 2), extras={"panoptic": panoptic}).fields() == ["panoptic"]
