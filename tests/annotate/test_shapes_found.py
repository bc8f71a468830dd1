"""What a model found becomes masks, boxes and classes, without the background."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.annotated import blobs, predictor

from toolkit.annotate.shapes import SLACK, Shape, kind_of, names_of_objects, shapes_of
from toolkit.types import Masks, PanopticMap, Prediction
from toolkit.types.panoptic import Segment

SIZE = (30, 40)


def found(kind: str, above: float = 0.5) -> list[Shape]:
    one = predictor(kind)
    return shapes_of(one.predict(np.zeros((*SIZE, 3), np.uint8)), one.classes, above)


def test_objects_with_masks() -> None:
    shapes = found("masks")
    assert [(each.name, each.score, each.kind) for each in shapes] == [
        ("cat", 0.875, "mask"),
        ("dog", 0.625, "mask"),
    ]
    assert (np.stack([each.mask() for each in shapes]) == blobs(SIZE)).all()
    assert shapes[1].box_xyxy == (13, 10, 28, 30)
    assert len(found("masks", 0.1)) == 3
    assert found("masks", 0.9) == []


def test_objects_without_masks() -> None:
    shapes = found("boxes")
    assert [each.kind for each in shapes] == ["rectangle", "rectangle"]
    assert shapes[0].box_xyxy == (0, 0, 37, 28)


def test_regions_of_classes() -> None:
    shapes = found("semantic")
    assert [(each.name, each.score) for each in shapes] == [("cat", None), ("dog", None)]
    expected = blobs(SIZE)
    expected[0] &= ~expected[1]
    expected[:, -1] = False
    assert (np.stack([each.mask() for each in shapes]) == expected).all()
    assert names_of_objects(predictor("semantic")) == ("cat", "dog")


def test_classes_of_images_and_segments() -> None:
    assert [(each.name, each.score, each.kind) for each in found("classes")] == [("dog", 0.75, "tag")]
    assert found("classes", 0.8) == []
    numbers = torch.zeros(SIZE, dtype=torch.int32)
    numbers[3:9, 4:8] = 1
    panoptic = PanopticMap(numbers, (Segment(1, True, score=0.5),))
    prediction = Prediction("a", SIZE, extras={"panoptic": panoptic})
    (shape,) = shapes_of(prediction, ("cat", "dog"), 0.9)
    assert (shape.name, shape.score, shape.box_xyxy) == ("dog", 0.5, (4, 3, 8, 9))


@pytest.mark.parametrize(
    ("kind", "gives"), [("masks", "mask"), ("boxes", "rectangle"), ("semantic", "mask"), ("classes", "tag")]
)
def test_what_a_model_gives(kind: str, gives: str) -> None:
    assert kind_of(predictor(kind)) == gives


def test_polygons_are_near_the_outline_and_have_few_corners() -> None:
    ys, xs = np.mgrid[:200, :300]
    disk = (xs - 150) ** 2 + (ys - 90) ** 2 < 70**2
    disk &= (xs - 150) ** 2 + (ys - 90) ** 2 > 20**2
    masks = Masks.from_dense(disk[None])
    x0, y0, x1, y1 = masks.boxes_xyxy()[0].tolist()
    (polygon,) = Shape("cat", (200, 300), 0.5, masks.counts[0], (x0, y0, x1, y1)).polygons()
    assert 10 < len(polygon) < 80
    again = Masks.from_polygons([[[v for p in polygon for v in p]]], (200, 300)).dense()[0].numpy()
    filled = (xs - 150) ** 2 + (ys - 90) ** 2 < 70**2
    assert (again ^ filled).sum() < 2 * np.pi * 70 * SLACK
    assert again[90, 150], "holes are filled"


def test_each_part_has_a_polygon() -> None:
    shape = found("masks")[0]
    assert len(shape.polygons()) == 2
