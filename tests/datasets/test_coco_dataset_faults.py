"""What is wrong in a file of COCO's format is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_dataset_cases import HEIGHT, SQUARE, WIDTH, annotation, coco, document, put

from toolkit.data.faults import gathering
from toolkit.errors import DataError


def _change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            data = data[part]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "annotations.1.image_id",
            8,
            "annotation 12 has the image_id 8, which is not one of the file's 2 images",
        ),
        ("annotations.1.image_id", [7], r"annotation 12 has the image_id \[7\], which is not one"),
        (
            "annotations.1.category_id",
            4,
            "annotation 12 has the category_id 4, which is not one of the file's 2 categories",
        ),
        ("annotations.1.category_id", None, "annotation 12 has the category_id None"),
        ("annotations.1.id", 11, "the id 11 occurs twice among the annotations"),
        ("annotations.1", 3, r"annotations\[1\] is not a record"),
        ("images.1.id", 7, "the id 7 occurs twice among the images: 0 and 1"),
        ("images.1.file_name", None, r"image 1 \(id 900\): file_name: should be a valid string, not None"),
        ("images.1.file_name", "a.png", "two images with the file_name 'a.png'"),
        ("categories.1.id", 90, "the id 90 occurs twice among the categories: 0 and 1"),
        ("categories.1.name", "dog", "two categories called 'dog'"),
        ("categories.1.id", "3", "both numbers and text as category ids"),
        (
            "categories.1.keypoints",
            "nose,tail",
            r"category 1 \(id 3\): keypoints: should be a valid list, not 'nose,tail'\. Hint",
        ),
        ("categories.1.keypoints", {"nose": 1}, r"keypoints: should be a valid list, not \{'nose': 1\}"),
        ("annotations", None, "not a COCO annotation file"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, path: str, value: Any, message: str) -> None:
    data = document(annotation(11), annotation(12))
    put(tmp_path, data)
    coco(tmp_path)
    _change(path, value)(data)
    file = put(tmp_path, data)
    with pytest.raises(DataError, match=message) as caught:
        coco(tmp_path)
    assert str(file) in str(caught.value)


RLE = {"size": [HEIGHT, WIDTH], "counts": [100, 20, 480]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bbox": [1, 2, 3]}, "bbox: expected at least 4 items, not"),
        ({"bbox": [1, 2, float("nan"), 4]}, r"bbox\[2\]: should be a finite number, not nan"),
        ({"bbox": "1,2,3,4"}, "bbox: should be a valid list, not '1,2,3,4'"),
        (
            {"segmentation": [[2, 3, 9, float("nan"), 9, 8]]},
            r"segmentation\[0\]\[3\]: should be a finite number, not nan",
        ),
        ({"segmentation": [[2, 3, 9, 3, 9, 8, 2]]}, "a polygon has 7 numbers"),
        ({"segmentation": [[2, 3, 900, 3, 9, 8]]}, "reaches 900, outside the image of 30 x 20"),
        (
            {"segmentation": "mask.png"},
            "segmentation: must be a list of polygons, or an object with size and counts, not 'mask.png'",
        ),
        (
            {"segmentation": RLE | {"size": [WIDTH, HEIGHT]}},
            r"the run lengths have size \[30, 20\], but the image has \[20, 30\]",
        ),
        (
            {"segmentation": RLE | {"counts": [100, 20, 400]}},
            "the run lengths cover 520 pixels, but the image has 600",
        ),
        (
            {"segmentation": RLE | {"counts": [100, -20, 520]}},
            r"segmentation.counts\[1\]: should be greater than or equal to 0, not -20",
        ),
        (
            {"segmentation": RLE | {"counts": [100.5, 19.5, 480]}},
            r"segmentation.counts\[0\]: should be a valid integer, not 100.5",
        ),
        ({"segmentation": RLE | {"counts": "zz"}}, "the run lengths cover"),
        ({"segmentation": RLE | {"counts": ""}}, "the run lengths cover"),
        ({"segmentation": RLE | {"counts": None}}, "segmentation.counts: "),
        ({"segmentation": None, "bbox": None}, "neither a segmentation nor a bbox"),
        ({"iscrowd": 2}, "iscrowd: should be 0 or 1, not 2"),
        ({"area": -3}, "area: should be greater than or equal to 0, not -3"),
        ({"area": float("inf")}, "area: should be a finite number, not inf"),
        ({"segmentation": None}, "has no mask, but other objects of the image have one"),
    ],
)
def test_faults_of_an_annotation(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    file = put(tmp_path, document(annotation(11), annotation(12, **fields), annotation(13, image_id=900)))
    dataset = coco(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        dataset[0]
    assert str(caught.value).startswith(f"{file}: annotation 12 of image 7 (a.png)")
    assert len(dataset[1].instances) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bbox": [1, 2, 0, 4]}, r"bbox \[1.0, 2.0, 0.0, 4.0\] has a width or height of 0 or less"),
        ({"bbox": [40, 2, 5, 4]}, "lies outside the image of 30 x 20 pixels"),
        ({"segmentation": [[2, 3, 9, 3]]}, "a polygon with 2 points encloses no area"),
        ({"segmentation": [[2, 3, 4, 5, 9, 10, 3, 4]]}, "a polygon with 4 points encloses no area"),
        ({"segmentation": RLE | {"counts": [600]}, "bbox": None}, "covers no pixel"),
    ],
)
def test_objects_without_an_area(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    put(tmp_path, document(annotation(11), annotation(12, **fields)))
    with pytest.raises(DataError, match=rf"annotation 12 of .*{message}.*degenerate=skip"):
        coco(tmp_path)[0]
    assert len(coco(tmp_path, degenerate="skip")[0].instances) == 1


def test_a_part_without_an_area_is_left_out_of_its_object(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11, segmentation=[*SQUARE, [1, 1, 2, 2]])))
    assert coco(tmp_path, degenerate="skip")[0].instances.masks.areas().tolist() == [35]


def test_an_image_of_another_size(tmp_path: Path) -> None:
    data = document(annotation(11))
    data["images"][0]["height"] = 21
    put(tmp_path, data)
    with pytest.raises(
        DataError, match=r"image 7 \(a.png\) should have 30 x 21 pixels, but the file has 30 x 20"
    ):
        coco(tmp_path)[0]


def test_ids_from_other_programs(tmp_path: Path) -> None:
    """Whole numbers that were written as fractions, and ids from 0."""
    data = document(annotation(0.0, image_id=0.0, category_id=0.0), annotation(1, image_id=0, category_id=0))
    data["images"][0]["id"], data["images"][1]["id"] = 0, 1.0
    data["categories"][1]["id"] = 0
    put(tmp_path, data)
    dataset = coco(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset[0].instances.labels.tolist() == [0, 0]
    assert dataset.coco_image_ids == {"a": 0, "sub/b": 1}


@pytest.mark.parametrize("value", [[{}], {}, [7], True, 1.5, 10**400])
@pytest.mark.parametrize("field", ["id", "image_id", "category_id"])
def test_ids_that_are_none(tmp_path: Path, field: str, value: Any) -> None:
    put(tmp_path, document(annotation(11), annotation(12) | {field: value}))
    with pytest.raises(DataError, match=rf"annotation.* has the {'id' if field == 'id' else field} "):
        coco(tmp_path)[0]


def test_what_is_of_a_faulty_image_is_no_fault_of_its_own(tmp_path: Path) -> None:
    data = document(annotation(11), annotation(12, image_id=900), annotation(13, category_id=90))
    data["images"][0]["width"] = "30"
    data["categories"][0]["name"] = ["dog"]
    put(tmp_path, data)
    with gathering() as faults:
        assert coco(tmp_path).ids == ("sub/b",)
    assert len(faults) == 2
    assert "category 0 (id 90): name: should be a valid string" in faults[0]
    assert "image 0 (id 7): width: should be a valid integer, not '30'" in faults[1]
