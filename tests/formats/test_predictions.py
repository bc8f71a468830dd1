"""Predictions that anyone has made: label images and COCO results, by the names of the images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.errors import DataError
from toolkit.formats.predictions import PredictionFiles
from toolkit.types import Masks


def coco_document() -> dict:
    mask = np.zeros((1, 16, 16), bool)
    mask[0, 2:5, 3:9] = True
    (code,) = Masks.from_dense(mask).to_coco()
    return {
        "images": [{"id": 7, "file_name": "val/0.png", "width": 16, "height": 16}],
        "categories": [{"id": 3, "name": "square"}],
        "annotations": [
            {
                "image_id": 7,
                "category_id": 3,
                "bbox": [3, 2, 6, 3],
                "score": 0.9,
                "segmentation": {"size": [16, 16], "counts": code["counts"].decode()},
            }
        ],
    }


def test_instances_in_json_are_read_by_class_name(tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps(coco_document()))
    instances = (
        PredictionFiles(tmp_path / "theirs.json", ("ground", "square")).read("val/0", (16, 16)).instances
    )
    assert instances is not None
    assert instances.labels.tolist() == [1]
    assert instances.boxes_xyxy.tolist() == [[3, 2, 9, 5]]
    assert instances.masks is not None
    assert instances.masks.areas().tolist() == [18]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"categories": [{"id": 3, "name": "circle"}]}, "has classes that the dataset does not have: circle"),
        ({"images": []}, "annotation 0: image_id is 7, which the file does not have"),
        ({"annotations": None}, "expected a list of annotation records, not None"),
        ({"images": "x"}, "expected a list of image records, not 'x'"),
    ],
)
def test_faulty_json_is_explained(tmp_path: Path, change: dict, expected: str) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps(coco_document() | change))
    with pytest.raises(DataError, match=expected):
        PredictionFiles(tmp_path / "theirs.json", ("ground", "square"))


def test_label_images_beside_a_json_with_other_class_order_are_translated(tmp_path: Path) -> None:
    values = np.array([[0, 1], [255, 0]], np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 2, "height": 2, "label_map": "a.png"}],
        "categories": [{"id": 1, "name": "square"}, {"id": 2, "name": "ground"}],
        "annotations": [],
    }
    (tmp_path / "predictions.json").write_text(json.dumps(document))
    read = PredictionFiles(tmp_path, ("ground", "square")).read("a", (2, 2)).label_map
    assert read is not None
    assert read.tolist() == [[1, 0], [255, 1]]
    cv2.imwrite(str(tmp_path / "a.png"), values + 1)
    with pytest.raises(DataError, match=r"a\.png has the value 2, which is not a class of"):
        PredictionFiles(tmp_path, ("ground", "square")).read("a", (2, 2))


def test_what_is_no_predictions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"images": []}')
    for path, expected in (
        ("absent", "no predictions at"),
        ("empty", "contains no .png label images"),
        ("broken.json", "is not valid JSON"),
        ("other.json", "is not a predictions file"),
    ):
        with pytest.raises(DataError, match=expected):
            PredictionFiles(tmp_path / path, ("a",))


LONG = "[" * 100_000
ODD_CHANGES: list[tuple[dict, str]] = [
    ({"images": [{"id": 1}]}, "image 0 (id 1): file_name: missing"),
    (
        {"images": [{"id": 1, "file_name": None}]},
        "image 0 (id 1): file_name: should be a valid string, not None",
    ),
    ({"images": [{"id": 1, "file_name": 7}]}, "file_name: should be a valid string, not 7"),
    ({"images": [{"id": 1, "file_name": "."}]}, "'.' is not the name of an image"),
    (
        {"images": [{"id": [1], "file_name": "a.jpg"}]},
        "image 0 (id [1]): id: should be a whole number or text",
    ),
    ({"images": [None]}, "image 0: expected an object with fields, not None"),
    (
        {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]},
        "has two images called 'a.jpg'",
    ),
    (
        {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]},
        "image 1 has the id 1, as image 0 has",
    ),
    (
        {"images": [{"id": 1, "file_name": "a.jpg", "label_map": "../../a.png"}]},
        "label_map: should be the name of a file below the folder of this one",
    ),
    (
        {"images": [{"id": 1, "file_name": "a.jpg", "label_map": "/etc/a.png"}]},
        "label_map: should be the name",
    ),
    ({"categories": [{"id": 3, "name": 5}]}, "category 0 (id 3): name: should be a valid string, not 5"),
    ({"categories": [{"id": 3, "name": None}]}, "category 0 (id 3): name: should be"),
    ({"categories": [{"name": "square"}]}, "category 0: id: missing"),
    (
        {"categories": [{"id": 3, "name": "square", "label_value": 999}]},
        "label_value: should be less than or equal",
    ),
    ({"categories": {"3": "square"}}, "expected a list of category records, not {'3': 'square'}"),
    ({"annotations": [None]}, "annotation 0: expected an object with fields, not None"),
    ({"annotations": {}}, "expected a list of annotation records, not {}"),
]
ODD_ANNOTATIONS: list[tuple[dict, str]] = [
    ({"image_id": {}}, "image_id: should be a whole number or text, not {}"),
    ({"category_id": "square"}, "category_id is 'square', which the file does not have"),
    ({"score": None}, "score: should be a valid number, not None"),
    ({"score": "0.5"}, "score: should be a valid number, not '0.5'"),
    ({"score": 10**400}, "score: "),
    ({"bbox": [1, 2]}, "bbox: expected at least 4 items, not [1, 2]"),
    ({"bbox": [1, 2, -3, 4], "segmentation": None}, "bbox has a width or height below 0"),
    ({"segmentation": "text"}, "segmentation: must be a list of polygons, or an object with size and counts"),
    ({"segmentation": [1, 2, 3, 4, 5, 6]}, "segmentation: must be a list of polygons, each of them a list"),
    ({"segmentation": [[1, None, 9, 1, 9, 9]]}, "segmentation[0][1]: should be a valid number, not None"),
    ({"segmentation": {"size": [16, 16]}}, "segmentation.counts: missing"),
    ({"keypoints": [1, 2]}, "keypoints: "),
    ({"bbox": None, "segmentation": []}, "has neither bbox nor segmentation nor keypoints"),
]


@pytest.mark.parametrize(("change", "message"), ODD_CHANGES)
def test_records_with_faults_are_named(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(coco_document() | change))
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        PredictionFiles(path, ("ground", "square"))
    assert str(path) in str(caught.value)
    assert "Hint: " in str(caught.value)


@pytest.mark.parametrize(("change", "message"), ODD_ANNOTATIONS)
def test_annotations_with_faults_are_named(tmp_path: Path, change: dict, message: str) -> None:
    content = coco_document()
    content["annotations"][0] |= change
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        PredictionFiles(path, ("ground", "square"))
    assert "annotation 0" in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            {"size": [16, 16], "counts": [300]},
            "annotation 0.*: mask code: the run lengths have a length that is no",
        ),
        ({"size": [16, 16], "counts": "0" * 999}, "annotation 0.*: mask code: the run lengths"),
        ({"size": [8, 8], "counts": [64]}, r"annotation 0.*: mask code has size list \[8, 8\]"),
        ([[1, 9e6, 9, 1, 9, 9]], "annotation 0.*: a polygon of object 0 reaches 9e"),
        ([[1, 1, 9, 9]], "annotation 0.*: a polygon of object 0 has 4 numbers"),
    ],
)
def test_masks_that_do_not_fit_the_image_are_named(tmp_path: Path, mask: object, message: str) -> None:
    content = coco_document()
    content["annotations"][0]["segmentation"] = mask
    (tmp_path / "theirs.json").write_text(json.dumps(content))
    files = PredictionFiles(tmp_path / "theirs.json", ("ground", "square"))
    key = next(iter(files.records))
    with pytest.raises(DataError, match=message):
        files.read(key, (16, 16))


@pytest.mark.parametrize(
    "text", ["", LONG, '{"images": ' + LONG, "{", "5", '"x"', "null", '{"images": "\\ud83d"}']
)
def test_what_is_no_json_of_predictions(tmp_path: Path, text: str) -> None:
    (tmp_path / "theirs.json").write_text(text)
    with pytest.raises(DataError, match=r"theirs\.json is .*Hint: "):
        PredictionFiles(tmp_path / "theirs.json", ("a",))


def test_keypoints_of_different_counts_are_refused(tmp_path: Path) -> None:
    content = coco_document()
    first = content["annotations"][0] | {"keypoints": [1, 2, 2]}
    content["annotations"] = [first, first | {"id": 99, "keypoints": [1, 2, 2, 3, 4, 2]}]
    (tmp_path / "theirs.json").write_text(json.dumps(content))
    files = PredictionFiles(tmp_path / "theirs.json", ("ground", "square"))
    with pytest.raises(DataError, match="some detections have 1 keypoints, others 2"):
        files.read(next(iter(files.records)), (16, 16))
