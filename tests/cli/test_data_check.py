"""``toolkit data check`` tells all faults of a folder in one run, each once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit.cli import main


def picture(path: Path, value: int = 0, size: tuple[int, int] = (12, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size, value, np.uint8))


def faults_of(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The faults that the check tells, which must be as many as it counts at its end."""
    capsys.readouterr()
    code = main(["data", "check", *words])
    lines = capsys.readouterr().out.splitlines()
    faults = [line.partition(": error: ")[2] for line in lines if ": error: " in line]
    assert code == (1 if faults else 0)
    assert (f"{len(faults)} error{'s' * (len(faults) != 1)}" if faults else "no errors") in lines
    assert len(set(faults)) == len(faults)
    return faults


def test_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abcdefghijkl":
        picture(tmp_path / "images" / "train" / f"{name}.png")
        picture(tmp_path / "labels" / "train" / f"{name}.png", value=1)
        picture(tmp_path / "images" / "val" / f"{name}.png")
        picture(tmp_path / "labels" / "val" / f"{name}.png", value=1)
    assert faults_of(capsys, "masks", "--data-dir", str(tmp_path)) == []

    for name in "abcdefg":  # more than the five that other messages name
        (tmp_path / "labels" / "train" / f"{name}.png").unlink()
    (tmp_path / "images" / "val" / "c.png").unlink()
    picture(tmp_path / "labels" / "val" / "d.png", value=1, size=(5, 5))
    for folder in ("images", "labels"):
        (tmp_path / folder / "val" / "e.png").write_bytes(b"no picture")
    (tmp_path / "classes.txt").write_text("ground\nthing\n")
    picture(tmp_path / "labels" / "val" / "f.png", value=7)
    faults = faults_of(capsys, "masks", "--data-dir", str(tmp_path))
    assert len(faults) == 5
    alone = next(fault for fault in faults if "without a label image" in fault)
    assert all(f"train/{name}" in alone for name in "abcdefg")
    for part in ("d.png has 5 x 5", "images/val/e.png", "labels/val/e.png", "f.png has the value 7"):
        assert len([fault for fault in faults if part in fault]) == 1, part


def test_a_list_of_images_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        picture(tmp_path / "images" / f"{name}.png")
        picture(tmp_path / "labels" / f"{name}.png")
    picture(tmp_path / "images" / "c.png")
    (tmp_path / "train.txt").write_text("a\nx\ny\n")
    (tmp_path / "val.txt").write_text("b\nc\nx\n")
    faults = faults_of(capsys, "masks", "--data-dir", str(tmp_path))
    assert [fault.split(": ")[0].rpartition("/")[2] for fault in faults] == [
        "train.txt lists ids without an image",
        "val.txt lists ids without an image",
        "labels",
    ]
    assert "(x, y)" in faults[0]


def test_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    square = [[1, 1, 6, 1, 6, 6, 1, 6]]

    def annotation(number: int, **changes: Any) -> dict[str, Any]:
        return {"id": number, "image_id": 1, "category_id": 1, "segmentation": square} | changes

    document = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}, {"file_name": "c.png"}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            annotation(1),
            annotation(1),
            annotation(2, image_id=9),
            annotation(3, category_id=9),
            annotation(4, segmentation=[[1, 1, 2]]),
            annotation(5, segmentation=[[900, 1, 6, 1, 6, 6]]),
            annotation(6, iscrowd=3),
            annotation(7, segmentation=None, bbox=[1, 1, 0, 3]),
        ],
    }
    picture(tmp_path / "train" / "a.png")
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    faults = faults_of(capsys, "coco", "--data-dir", str(tmp_path), "--split", "train")
    parts = (
        "the id 1 occurs twice among the images",
        "image 2: id: missing",
        "the id 1 occurs twice among the annotations",
        "annotation 2 has the image_id 9",
        "annotation 3 has the category_id 9",
        "annotation 4 ",
        "annotation 5 ",
        "annotation 6 ",
        "annotation 7 ",
    )
    for part in parts:
        assert len([fault for fault in faults if part in fault]) == 1, part
    assert len(faults) == len(parts)


def test_yolo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.yaml").write_text("names: [thing]\ntrain: images/train\nval: images/train\n")
    picture(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    lines = ["0 0.1 0.1 0.8 0.1 0.8 0.8", "3 0.1 0.1 0.8 0.1 0.8 0.8", "0 1 2", "0 a b c", "0 40 1 2 3 4 5"]
    (tmp_path / "labels" / "train" / "a.txt").write_text("\n".join(lines))
    faults = faults_of(capsys, "yolo", "--data-dir", str(tmp_path))
    assert [int(fault.partition("line ")[2][0]) for fault in faults] == [2, 3, 4, 5]


def test_labelme_and_via(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    square = [[1, 1], [6, 1], [6, 6], [1, 6]]
    shapes = [
        {"label": "thing", "points": square, "shape_type": "polygon"},
        {"label": "thing", "points": [[1, 1]], "shape_type": "polygon"},
        {"label": "thing", "points": [[1, 1], [2, 2]], "shape_type": "line"},
    ]
    picture(tmp_path / "train" / "a.png")
    document = {"imagePath": "a.png", "shapes": shapes, "imageHeight": 12, "imageWidth": 16}
    (tmp_path / "train" / "a.json").write_text(json.dumps(document))
    faults = faults_of(capsys, "labelme", "--data-dir", str(tmp_path), "--split", "train")
    assert len(faults) == 2
    assert all(f"shape {number}" in fault for number, fault in zip((1, 2), faults, strict=True))

    outline = {"name": "polygon", "all_points_x": [1, 6, 6], "all_points_y": [1, 1, 6]}
    regions = [outline, outline | {"name": "point"}, outline | {"all_points_x": [1]}]
    images = {
        name: {"filename": name, "regions": [{"shape_attributes": region} for region in regions]}
        for name in ("a.png", "gone.png")
    }
    (tmp_path / "train" / "via_region_data.json").write_text(json.dumps(images))
    faults = faults_of(capsys, "balloon", "--data-dir", str(tmp_path), "--split", "train")
    assert len(faults) == 3
    assert "via_region_data.json names but that do not exist: 1 (gone.png)" in faults[0]
