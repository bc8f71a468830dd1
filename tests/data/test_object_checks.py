from __future__ import annotations

import torch

from toolkit.data.object_checks import object_findings
from toolkit.types import Instances, Masks

SIZE = (60, 80)


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def masks(*rows: list[int]) -> Masks:
    dense = torch.zeros((len(rows), *SIZE), dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(dense, rows, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def found(boxes_xyxy: torch.Tensor, known: Masks | None = None, **fields: torch.Tensor) -> dict[int, str]:
    labels = fields.pop("labels", torch.zeros(len(boxes_xyxy), dtype=torch.int64))
    instances = Instances(SIZE, boxes_xyxy, labels, known, **fields)
    return {finding.index: f"{finding.kind}: {finding.what}" for finding in object_findings(instances)}


def test_good_objects_have_no_findings() -> None:
    assert found(boxes()) == {}
    rows = [[1, 2, 31, 42], [40, 2, 79, 59]]
    assert found(masks(*rows).boxes_xyxy(), masks(*rows)) == {}
    near = boxes([2, 0, 33, 43], [40, 2, 79, 56])
    assert found(near, masks(*rows)) == {}, "rounded, or up to three pixels off"
    assert found(boxes([1, 2, 31, 42])) == {}


def test_boxes_that_are_not_those_of_their_masks() -> None:
    known = masks([10, 10, 30, 30], [10, 10, 30, 30], [0, 0, 80, 60])
    labels = torch.tensor([0, 1, 2])
    # the third is off by 5 of 80 pixels, as far as annotations may be
    texts = found(boxes([10, 10, 30, 34], [40, 10, 60, 30], [5, 0, 80, 60]), known, labels=labels)
    assert texts == {
        0: "box: has the box (10, 10) to (30, 34), but its mask spans (10, 10) to (30, 30)",
        1: "box: has the box (40, 10) to (60, 30), but its mask spans (10, 10) to (30, 30)",
    }


def test_objects_of_no_or_hardly_any_pixels() -> None:
    known = masks([5, 5, 5, 5], [0, 0, 5, 3], [0, 0, 4, 4])
    assert found(boxes([5, 5, 9, 9], [0, 0, 5, 3], [0, 0, 4, 4]), known) == {
        0: "empty: covers no pixel",
        1: "tiny: has 15 square pixels",
    }
    assert found(boxes([3, 3, 3, 9], [0, 0, 2.5, 3])) == {
        0: "empty: covers no pixel",
        1: "tiny: has 7.5 square pixels",
    }


def test_objects_that_are_there_twice() -> None:
    rows = boxes([0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9])
    labels = torch.tensor([0, 1, 0, 0])
    assert found(rows, labels=labels) == {
        2: "twice: is a duplicate of object 0",
        3: "twice: is a duplicate of object 0",
    }
    points = torch.zeros((4, 1, 3))
    points[2] = 5
    assert list(found(rows, labels=labels, keypoints=points)) == [3], "with other keypoints it is another"


def test_crowds_are_passed_over() -> None:
    rows = boxes([0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 1, 1])
    assert found(rows, is_crowd=torch.tensor([False, True, True])) == {}
