"""The records of COCO files: which values fit, and how others are named."""

from __future__ import annotations

import math
from typing import Any

import pytest

from toolkit.errors import DataError
from toolkit.formats.coco_schema import (
    CocoAnnotation,
    CocoCategory,
    CocoImage,
    CocoResult,
    PredictedAnnotation,
)
from toolkit.reading.fields import Schema
from toolkit.reading.records import records

ANNOTATION: dict[str, Any] = {
    "id": 1,
    "image_id": 2,
    "category_id": 3,
    "bbox": [1, 2, 3, 4],
    "iscrowd": 0,
    "area": 12,
}
RESULT: dict[str, Any] = {"image_id": 2, "category_id": 3, "score": 0.5, "bbox": [1, 2, 3, 4]}


def read(entry: Any, schema: type[Schema]) -> Any:
    (found,) = records([entry], schema, source="x.json", kind="record", error=DataError)
    return found


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"id": 7.0, "image_id": "photo 1"}, "id", 7),
        ({"iscrowd": True}, "iscrowd", 1),
        ({"iscrowd": 1.0}, "iscrowd", 1),
        ({"segmentation": []}, "segmentation", None),
        ({"segmentation": None, "keypoints": None, "area": None}, "area", None),
        ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "segmentation", [[1, 2, 3, 4, 5, 6]]),
        ({"keypoints": [1, 2, 2, 0, 0, 0]}, "keypoints", [1, 2, 2, 0, 0, 0]),
        ({"unknown": object()}, "bbox", [1, 2, 3, 4]),
    ],
)
def test_annotations_that_fit(change: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(read(ANNOTATION | change, CocoAnnotation), field) == value


def test_both_kinds_of_run_lengths() -> None:
    for counts in ("n1a0", [1, 2, 3]):
        found = read(ANNOTATION | {"segmentation": {"size": [6, 1], "counts": counts}}, CocoAnnotation)
        assert found.segmentation.counts == counts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": [1]}, r"id: should be a whole number or text, not \[1\]"),
        ({"id": [{}]}, "id: should be"),
        ({"id": 10**400}, "id: should be"),
        ({"image_id": None}, "image_id: should be a whole number or text, not None"),
        ({"category_id": {}}, "category_id: should be"),
        ({"bbox": [1, 2]}, r"bbox: expected at least 4 items, not \[1, 2\]"),
        ({"bbox": [1, 2, 3, 4, 5]}, "bbox: expected at most 4 items"),
        ({"bbox": "1,2,3,4"}, "bbox: should be a valid list"),
        ({"bbox": [1, 2, "3", 4]}, r"bbox\[2\]: should be a valid number, not '3'"),
        ({"bbox": [1, 2, 10**400, 4]}, r"bbox\[2\]: "),
        ({"bbox": [1, 2, math.inf, 4]}, r"bbox\[2\]: should be a finite number"),
        ({"area": -1}, "area: should be greater than or equal to 0"),
        ({"area": "12"}, "area: should be a valid number"),
        ({"iscrowd": 2}, "iscrowd: should be 0 or 1, not 2"),
        ({"iscrowd": "0"}, "iscrowd: should be 0 or 1"),
        ({"iscrowd": None}, "iscrowd: should be 0 or 1"),
        ({"keypoints": [1, 2]}, "keypoints: 2 numbers are not x, y and visibility"),
        (
            {"segmentation": "text"},
            "segmentation: must be a list of polygons, or an object with size and counts",
        ),
        ({"segmentation": 5}, "segmentation: must be a list of polygons"),
        (
            {"segmentation": [1, 2, 3, 4, 5, 6]},
            "segmentation: must be a list of polygons, each of them a list",
        ),
        (
            {"segmentation": [{"size": [1, 1], "counts": "0"}]},
            "segmentation: must be one object with size and counts",
        ),
        (
            {"segmentation": [[1, None, 3, 4, 5, 6]]},
            r"segmentation\[0\]\[1\]: should be a valid number, not None",
        ),
        ({"segmentation": [[1, 1e8, 3, 4, 5, 6]]}, r"segmentation\[0\]\[1\]: should be less than"),
        ({"segmentation": {"counts": "0"}}, "segmentation.size: missing"),
        ({"segmentation": {"size": [1], "counts": "0"}}, "segmentation.size: expected at least 2 items"),
        ({"segmentation": {"size": [1, 1], "counts": None}}, "segmentation.counts: should be text or a list"),
        (
            {"segmentation": {"size": [1, 1], "counts": [1, -1]}},
            r"segmentation.counts\[1\]: should be greater",
        ),
    ],
)
def test_annotations_with_faults_name_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"record 0.*: {message}"):
        read(ANNOTATION | change, CocoAnnotation)


@pytest.mark.parametrize(
    ("entry", "schema", "message"),
    [
        ({"id": 1}, CocoImage, "file_name: missing"),
        ({"id": 1, "file_name": None}, CocoImage, "file_name: should be a valid string, not None"),
        ({"id": 1, "file_name": ""}, CocoImage, "file_name: should have 1 to 4096 characters"),
        ({"id": 1, "file_name": "a\0b"}, CocoImage, "file_name: must not contain the character NUL"),
        (
            {"id": 1, "file_name": "a.jpg", "width": "64"},
            CocoImage,
            "width: should be a valid integer, not '64'",
        ),
        ({"id": 1, "name": 5}, CocoCategory, "name: should be a valid string, not 5"),
        ({"id": 1, "name": "cup \ud83d"}, CocoCategory, "name: should be a valid string"),
        (RESULT | {"score": None}, CocoResult, "score: should be a valid number, not None"),
        (RESULT | {"score": "0.5"}, CocoResult, "score: should be a valid number, not '0.5'"),
        (RESULT | {"score": True}, CocoResult, "score: should be a valid number, not True"),
        (
            {"image_id": 1, "category_id": 1},
            PredictedAnnotation,
            "has neither bbox nor segmentation nor keypoints",
        ),
        (RESULT | {"bbox": [1, 2, -3, 4]}, PredictedAnnotation, "bbox has a width or height below 0"),
        (None, CocoImage, "expected an object with fields, not None"),
    ],
)
def test_images_categories_and_results_with_faults(entry: Any, schema: type[Schema], message: str) -> None:
    with pytest.raises(DataError, match=f"record 0.*: {message}"):
        read(entry, schema)
