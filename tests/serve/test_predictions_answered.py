"""Predictions as answers: what is not a label map and not plain objects."""

from __future__ import annotations

import pytest
import torch
from serve_cases import SIZE, dense, half, ring

from toolkit import Instances, PanopticMap, Prediction, Segment
from toolkit.inference.image_prediction import ImagePrediction
from toolkit.serve.errors import RequestError
from toolkit.serve.predictions import as_json, as_png
from toolkit.types import Sample


def named(classes: tuple[str, ...], **contents: object) -> ImagePrediction:
    sample = Sample("a", torch.zeros((3, *SIZE), dtype=torch.uint8))
    return ImagePrediction.of(Prediction("a", SIZE, **contents), sample, classes=classes)  # type: ignore[arg-type]


def test_the_classes_of_an_image() -> None:
    found = named(("cat", "dog"), extras={"class_scores": torch.tensor([0.25, 0.75])})
    assert as_json(found, None)["scores"] == [
        {"category": "cat", "score": 0.25},
        {"category": "dog", "score": 0.75},
    ]
    with pytest.raises(RequestError, match="no masks") as caught:
        as_png(found, None)
    assert caught.value.status_code == 406


def test_panoptic_segments_are_objects() -> None:
    numbers = torch.from_numpy(half(SIZE).astype("int32") + ring(SIZE))
    panoptic = PanopticMap(numbers, (Segment(0, False), Segment(1, True, score=0.5)))
    found = as_json(named(("ground", "cup"), extras={"panoptic": panoptic}), None)["objects"]
    assert [(each["category"], each["score"]) for each in found] == [("ground", None), ("cup", 0.5)]
    assert (dense(found[0]["rle"]) == (numbers == 1).numpy()).all()
    assert (dense(found[1]["rle"]) == (numbers == 2).numpy()).all()


def test_objects_without_masks_have_boxes() -> None:
    boxes = Instances(
        SIZE, torch.tensor([[1.0, 2.0, 30.0, 40.0]]), torch.tensor([0]), scores=torch.tensor([0.9])
    )
    (found,) = as_json(named(("cup",), instances=boxes), None)["objects"]
    assert found["box_xyxy"] == [1, 2, 30, 40]
    assert "rle" not in found
    with pytest.raises(RequestError, match="no masks"):
        as_png(named(("cup",), instances=boxes), None)


def test_nothing_found() -> None:
    nothing = Instances.empty(SIZE, with_masks=True, with_scores=True)
    assert as_json(named(("cup",), instances=nothing), None) == {"size": list(SIZE), "objects": []}
    assert as_png(named(("cup",), instances=nothing), None)[:4] == b"\x89PNG"


def test_void_is_no_class() -> None:
    label_map = torch.full(SIZE, 255, dtype=torch.uint8)
    label_map[:5] = 1
    (found,) = as_json(named(("background", "cup"), label_map=label_map), None)["objects"]
    assert found["category"] == "cup"
