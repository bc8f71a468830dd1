"""``toolkit data check`` and ``convert`` tell what was looked at, taken and left out: nothing that is absent
or skipped is read as empty without a word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit.cli import main

OUTLINE = [4, 4, 14, 4, 14, 12, 4, 12]


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (20, 26, 3), dtype=np.uint8))


def coco(folder: Path, name: str, *images: str, annotations: Any = None, categories: Any = None) -> None:
    """A file with these images, and one object in the first unless others are given."""
    plain = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [OUTLINE], "bbox": [4, 4, 10, 8]}]
    document = {
        "images": [{"id": number, "file_name": image} for number, image in enumerate(images, start=1)],
        "categories": categories or [{"id": 1, "name": "pot"}],
        "annotations": plain if annotations is None else annotations,
    }
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = main(["data", *words])
    shown = capsys.readouterr()
    return code, (shown.out + shown.err).splitlines()


def test_splits_by_other_names_are_taken_and_what_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, split in enumerate(("training", "valid", "later")):
        picture(tmp_path / "in" / split / "p.png", seed)
        coco(tmp_path / "in", f"{split}/_annotations.coco.json", "p.png")
    left = (
        "note: not read, because it belongs to none of the splits train, val, test:"
        " later/_annotations.coco.json"
    )
    code, lines = told(capsys, "check", "coco", "--data-dir", str(tmp_path / "in"))
    assert code == 0
    assert left in lines
    words = (
        "convert",
        "coco",
        "--data-dir",
        str(tmp_path / "in"),
        "--to",
        "via",
        "--out",
        str(tmp_path / "o"),
    )
    code, lines = told(capsys, *words)
    assert code == 0
    assert left in lines
    assert "test: not in this folder" in lines
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["train", "val"]


def test_two_names_of_one_split_are_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, split in enumerate(("train", "val", "validation")):
        picture(tmp_path / split / "p.png", seed)
        coco(tmp_path, f"{split}/_annotations.coco.json", "p.png")
    code, lines = told(capsys, "check", "coco", "--data-dir", str(tmp_path))
    assert code == 1
    assert any("more than one annotation file of the split 'val'" in line for line in lines)


@pytest.mark.parametrize("crowds", [0, 3])
def test_a_set_without_an_ordinary_object_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], crowds: int
) -> None:
    picture(tmp_path / "train" / "p.png")
    record = {"image_id": 1, "category_id": 1, "segmentation": [OUTLINE], "iscrowd": 1}
    coco(tmp_path, "train.json", "p.png", annotations=[record] * crowds)
    code, lines = told(capsys, "check", "coco", "--data-dir", str(tmp_path), "--split", "train")
    assert code == 1
    assert len([line for line in lines if "train: error: no sample has an object" in line]) == 1
    assert any(f"the {crowds} crowd regions do not count" in line for line in lines) is bool(crowds)


def test_objects_that_are_skipped_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"image_id": 1, "category_id": 1, "segmentation": [OUTLINE]}
    flat = {"image_id": 1, "category_id": 1, "bbox": [3, 3, 4, 0]}
    picture(tmp_path / "in" / "train" / "p.png")
    coco(tmp_path / "in", "train.json", "p.png", annotations=[record, flat, flat])
    where = ("coco", "--data-dir", str(tmp_path / "in"), "--split", "train", "degenerate=skip")
    note = "note: objects without an area are left out (degenerate=skip): 2"
    code, lines = told(capsys, "check", *where)
    assert code == 0
    assert f"train: {note}" in lines
    code, lines = told(capsys, "convert", *where, "--to", "coco", "--out", str(tmp_path / "o"))
    assert code == 0
    assert note in lines


def test_faults_of_all_splits_and_between_them_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [{"id": 1, "name": "pot"}, {"id": 2, "name": "pan"}]
    for split, categories in (("train", classes), ("val", [classes[0] | {"id": 3}, classes[1]])):
        picture(tmp_path / split / "same.png", 7)
        picture(tmp_path / split / f"{split}.png", len(split))
        names = ("same.png", f"{split}.png", f"lost-{split}.png")
        record = {"image_id": 2, "category_id": 2, "segmentation": [OUTLINE]}
        wide = {"image_id": 1, "category_id": 2, "bbox": [2, 2, 60, 4]}
        coco(tmp_path, f"{split}.json", *names, annotations=[record, wide], categories=categories)
    code, lines = told(capsys, "check", "coco", "--data-dir", str(tmp_path))
    assert code == 1
    faults = [line for line in lines if ": error: " in line]
    expected = [
        ("train", "that do not exist: 1 (lost-train.png)"),
        ("train", "reaches 62, outside the image of 26 x 20 pixels: 1 of 2 points"),
        ("val", "that do not exist: 1 (lost-val.png)"),
        ("val", "reaches 62"),
        ("val", "its classes are in a different order than those of train: pan, pot; not pot, pan"),
        ("val", "1 photo is also in train, so the splits are not independent: same"),
    ]
    assert len(faults) == len(expected)
    for fault, (split, text) in zip(faults, expected, strict=True):
        assert fault.startswith(f"{split}: error: ")
        assert text in fault
    assert lines[-1] == "6 errors"


def test_one_split_twice_is_told_but_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Small sets are published like this, to show how things work."""
    (tmp_path / "data.yaml").write_text("names: [pot]\ntrain: images\nval: images\n")
    picture(tmp_path / "images" / "p.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "p.txt").write_text("0 .2 .2 .6 .2 .6 .6")
    code, lines = told(capsys, "check", "yolo", "--data-dir", str(tmp_path))
    assert code == 0
    assert (
        "val: note: the photos are the same as those of train, so evaluation on it measures memorization"
        in lines
    )


def test_what_follows_from_a_fault_is_not_told_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that lie elsewhere are one fault, whatever they lack."""
    (tmp_path / "data.yaml").write_text("names: [pot]\ntrain: images\n")
    for seed, name in enumerate("abc"):
        picture(tmp_path / "images" / f"{name}.png", seed)
        (tmp_path / "marks").mkdir(exist_ok=True)
        (tmp_path / "marks" / f"{name}.txt").write_text("0 .2 .2 .6 .2 .6 .6")
    code, lines = told(capsys, "check", "yolo", "--data-dir", str(tmp_path), "--split", "train")
    assert code == 1
    assert lines[-1] == "1 error"
    [fault] = [line for line in lines if ": error: " in line]
    assert "label files in the wrong folder: 3" in fault
    assert str(tmp_path / "marks" / "b.txt") in fault
    assert str(tmp_path / "labels" / "b.txt") in fault
