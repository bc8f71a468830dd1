"""Predictions that anyone has made: label images and COCO results, by the names of the images."""

from __future__ import annotations

import json
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
        ({"categories": [{"id": 3, "name": "circle"}]}, "has classes that the dataset has not: circle"),
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
    with pytest.raises(DataError, match=r"a\.png has the value 2, which is no class of"):
        PredictionFiles(tmp_path, ("ground", "square")).read("a", (2, 2))


def test_what_is_no_predictions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"images": []}')
    for path, expected in (
        ("absent", "no predictions at"),
        ("empty", "contains no .png label images"),
        ("broken.json", "is not valid JSON"),
        ("other.json", "is no predictions file"),
    ):
        with pytest.raises(DataError, match=expected):
            PredictionFiles(tmp_path / path, ("a",))
