"""COCO's panoptic format: written and read back, and everything that can be wrong with a file of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from toolkit.data.faults import gathering
from toolkit.data.notes import noting
from toolkit.errors import DataError, ImageError
from toolkit.formats.coco_panoptic import (
    ClassOfCategory,
    SegmentInfo,
    panoptic_categories,
    read_panoptic,
    segment_records,
    write_panoptic_png,
)
from toolkit.formats.coco_panoptic_file import PanopticFile, is_panoptic
from toolkit.types import PanopticMap, Segment

SIZE = (3, 4)
IDS = [[7, 7, 300, 300], [7, 7, 300, 300], [0, 0, 70_000, 70_000]]
"""Beyond one and two bytes, and void."""


def write_ids(path: Path, ids: Any) -> None:
    values = np.array(ids)
    bgr = np.stack([values // 65_536, values // 256 % 256, values % 256], -1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), bgr)


def document() -> dict[str, Any]:
    infos = [
        {"id": 7, "category_id": 10, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2]},
        {"id": 300, "category_id": 20},
        {"id": 70_000, "category_id": 20, "iscrowd": 1},
    ]
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 3, "width": 4}],
        "categories": [
            {"id": 20, "name": "cup", "isthing": 1},
            {"id": 10, "name": "sky", "isthing": 0, "supercategory": "outdoor"},
        ],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": infos}],
    }


def written(folder: Path, content: dict[str, Any], ids: Any = IDS) -> Path:
    path = folder / "panoptic_val.json"
    path.write_text(json.dumps(content))
    write_ids(folder / "panoptic_val" / "a.png", ids)
    return path


def read(path: Path) -> PanopticMap:
    file = PanopticFile(path)
    return file.read(file.images[0], SIZE)


def test_a_file_is_read_as_it_says(tmp_path: Path) -> None:
    file = PanopticFile(written(tmp_path, document()))
    assert (file.classes, file.things) == (("sky", "cup"), ("cup",)), "in the order of their ids"
    panoptic = file.read(file.images[0], SIZE)
    assert panoptic.segments == (Segment(0, False), Segment(1, True), Segment(1, True, is_crowd=True))
    assert panoptic.numbers.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 3, 3]]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Many segments of one class, so that colors have to be told apart, and one of a black class."""
    rng = np.random.default_rng(0)
    numbers = torch.from_numpy(rng.permutation(np.arange(600) % 151).reshape(20, 30).astype(np.int32))
    segments = tuple(
        Segment(i % 3, i % 3 > 0, is_crowd=i % 3 == 2 and i % 2 == 0, score=i / 150 if i % 3 == 1 else None)
        for i in range(150)
    )
    panoptic = PanopticMap(numbers, segments)
    ids = write_panoptic_png(tmp_path / "a.png", panoptic, [(0, 0, 0), (255, 255, 255), (9, 9, 9)])
    assert len(set(ids)) == 150
    assert 0 not in ids
    records = json.loads(json.dumps(segment_records(panoptic, ids)))
    categories = {i + 1: ClassOfCategory(i, i > 0) for i in range(3)}
    infos = [SegmentInfo.model_validate(record) for record in records]
    found = read_panoptic(tmp_path / "a.png", infos, categories, "here")
    assert torch.equal(found.numbers, panoptic.numbers)
    assert found.segments == panoptic.segments
    assert [record["area"] for record in records] == panoptic.areas().tolist()
    ys, xs = np.nonzero(numbers.numpy() == 5)
    left, top, right, bottom = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    assert records[4]["bbox"] == [left, top, right - left, bottom - top]
    assert panoptic_categories(("a", "b"), ["b"])[1] == {"id": 2, "name": "b", "isthing": 1}


def test_without_segments_there_is_void(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0]["segments_info"] = []
    assert read(written(tmp_path, content, np.zeros(SIZE))).segments == ()


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("images"), "is not a file of panoptic annotations"),
        (lambda d: d.pop("categories"), "is not a file of panoptic annotations"),
        (lambda d: d.update(categories={"1": "dog"}), "is not a file of panoptic annotations"),
        (
            lambda d: d["annotations"].insert(0, {"id": 1, "bbox": []}),
            "is not a file of panoptic annotations",
        ),
        (lambda d: d["annotations"].append(d["annotations"][0]), "is a second one for the image 1"),
        (
            lambda d: d["annotations"][0].update(image_id=9),
            "image_id 9, which is not one of the file's 1 images",
        ),
        (lambda d: d["annotations"][0].update(file_name="../a.png"), "below the folder"),
        (lambda d: d["annotations"][0].update(file_name="/etc/a.png"), "below the folder"),
        (lambda d: d["categories"][0].pop("isthing"), "isthing: missing"),
        (lambda d: d["categories"][0].update(isthing="yes"), "isthing: should be 0 or 1, not 'yes'"),
        (lambda d: d["categories"][0].update(id=10), "the id 10 occurs twice among the categories"),
        (lambda d: d["categories"][0].update(id=[1]), "id: should be a whole number or text"),
        (lambda d: d["images"].append(d["images"][0]), "the id 1 occurs twice among the images"),
        (lambda d: d["images"].append({"id": 2, "file_name": "a.jpg"}), "two images with the file_name"),
        (lambda d: d["images"][0].update(width=5), "should have 5 x 3 pixels"),
        (lambda d: _info(d).update(id=0), r"segments_info\[0\].id"),
        (lambda d: _info(d).update(id=1 << 24), r"segments_info\[0\].id"),
        (lambda d: _info(d).update(id=8), "segment 8 has no pixel in .*a.png. Hint"),
        (lambda d: _info(d).update(id=300), "segment 300 occurs twice"),
        (lambda d: _info(d).update(category_id=99), "segment 7 is of category_id 99, which does not exist"),
        (lambda d: _infos(d).pop(), r"has the id 70000 \(color \(112, 17, 1\)\) in 2 pixels.*does not list"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, change: Change, words: str) -> None:
    content = document()
    change(content)
    with pytest.raises(DataError, match=words) as caught:
        read(written(tmp_path, content))
    assert "Hint: " in str(caught.value)


def _infos(content: dict[str, Any]) -> list[dict[str, Any]]:
    infos: list[dict[str, Any]] = content["annotations"][0]["segments_info"]
    return infos


def _info(content: dict[str, Any]) -> dict[str, Any]:
    return _infos(content)[0]


def test_what_is_wrong_with_a_picture_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, document(), np.zeros((5, 4)))
    with pytest.raises(DataError, match="has no pixel"):
        read(path)
    write_ids(tmp_path / "panoptic_val" / "a.png", np.pad(IDS, ((0, 1), (0, 0))))
    with pytest.raises(DataError, match=r"a.png has 4 x 4 pixels, but its image a.jpg has 4 x 3. Hint"):
        read(path)
    cv2.imwrite(str(tmp_path / "panoptic_val" / "a.png"), np.full((*SIZE, 3), 3000, np.uint16))
    with pytest.raises(DataError, match="has the value 3000 in a channel; expected 8 bits"):
        read(path)
    (tmp_path / "panoptic_val" / "a.png").write_bytes(cv2.imencode(".jpg", np.zeros((*SIZE, 3)))[1].tobytes())
    with pytest.raises(ImageError, match="is a JPEG"):
        read(path)
    (tmp_path / "panoptic_val" / "a.png").unlink()
    with pytest.raises(ImageError, match="does not exist"):
        read(path)
    (tmp_path / "panoptic_val").rmdir()
    with pytest.raises(DataError, match="there is no folder .*panoptic_val. Hint"):
        PanopticFile(path)


def test_all_faults_are_gathered_and_the_rest_is_read(tmp_path: Path) -> None:
    content = document()
    _info(content)["category_id"] = 99
    _infos(content)[1]["id"] = 8
    content["categories"].append({"id": 3, "name": "fog"})
    path = written(tmp_path, content)
    with gathering() as faults:
        found = read(path)
    # 7 is of no category, 8 has no pixel, 300 is not listed, and fog may be a thing or not
    assert len(faults) == 4, faults
    assert found.segments == (Segment(1, True, is_crowd=True),)


def test_images_without_an_annotation_are_noted(tmp_path: Path) -> None:
    content = document()
    content["images"].append({"id": 5, "file_name": "b.jpg"})
    with noting() as notes:
        file = PanopticFile(written(tmp_path, content))
    assert [image.file_name for image in file.images] == ["a.jpg"]
    assert notes == {"images without an annotation are left out": 1}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (document(), True),
        ({"annotations": [], "categories": [{"isthing": 1}]}, True),
        ({"annotations": [], "categories": [{"id": 1}]}, False),
        ({"annotations": [], "categories": 5}, False),
        ({"annotations": [{"bbox": []}]}, False),
        ({"annotations": [3]}, False),
        ([], False),
        (None, False),
    ],
)
def test_the_form_is_recognized(data: object, expected: bool) -> None:
    assert is_panoptic(data) is expected
