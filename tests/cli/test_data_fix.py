"""``toolkit data check --fix``: each fault is planted, the copy passes the check, and the data stay as they
were, byte for byte.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from toolkit.cli import main
from toolkit.data.dataset import open_dataset

SIZE = (90, 120)


def scene(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def photo(path: Path, seed: int, change: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), change(scene(seed)))


def square(x: int, y: int, side: int = 20) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def box_of(polygons: list[list[int]]) -> list[int]:
    xs, ys = polygons[0][::2], polygons[0][1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def document(folder: Path, split: str, first: int, count: int = 12) -> dict[str, Any]:
    """Images with an object each, and their photos."""
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"{split}-{number}.png"
        photo(folder / split / name, first + number)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        polygons = square(5 * number, 4 * number)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1 + number % 2,
                "segmentation": polygons,
                "bbox": box_of(polygons),
                "area": 400,
                "iscrowd": 0,
            }
        )
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "box"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(folder: Path, split: str, content: dict[str, Any]) -> None:
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changes_of(out: Path) -> list[dict[str, str]]:
    with open(out / "changes.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A dataset in COCO's format with one of each fault."""
    folder = tmp_path / "data"
    train, val = document(folder, "train", 0, 14), document(folder, "val", 50)
    objects = train["annotations"]
    # 1: the box of another object
    objects[0]["bbox"] = [60, 50, 20, 20]
    # 2: the same object twice
    objects.append(objects[1] | {"id": 101})
    # 3: no pixel, but a box
    empty = coco_mask.encode(np.zeros(SIZE, np.uint8, order="F"))
    code = {"size": list(SIZE), "counts": empty["counts"].decode()}
    objects.append(objects[2] | {"id": 102, "segmentation": code, "bbox": [1, 1, 4, 4]})
    # 4: without an area; of no category
    objects.append(objects[3] | {"id": 103, "segmentation": [[1, 1, 2]]})
    objects.append(objects[3] | {"id": 104, "category_id": 9})
    # 5: tiny, which is told and stays
    objects.append(objects[4] | {"id": 105, "segmentation": square(1, 1, 3), "bbox": [1, 1, 3, 3], "area": 9})
    # 6: a damaged photo; one that is not there
    (folder / "train" / "train-6.png").write_bytes(b"no picture")
    (folder / "train" / "train-7.png").unlink()
    # 8: a photo that the split has twice; 9: one of the other split; 10: the same, saved again smaller
    (folder / "train" / "train-8.png").write_bytes((folder / "train" / "train-1.png").read_bytes())
    (folder / "train" / "train-9.png").write_bytes((folder / "val" / "val-3.png").read_bytes())
    copy = np.asarray(cv2.resize(scene(54), (100, 75), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(folder / "train" / "train-10.png"), copy)
    train["images"][9] |= {"height": 75, "width": 100}
    objects[9] |= {"segmentation": square(10, 10), "bbox": [10, 10, 20, 20]}
    write(folder, "train", train)
    write(folder, "val", val)
    return folder


def test_each_fault_is_told_and_repaired_in_the_copy_alone(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = digests(planted), tmp_path / "fixed"
    words = ["data", "check", "coco", "--data-dir", str(planted)]
    assert main(words) == 1
    told = capsys.readouterr().out
    for text in (
        "train-1: object 0 has the box (60, 50) to (80, 70), but its mask spans (5, 4) to (25, 24). Hint",
        "a polygon with 1 points encloses no area",
        "category_id 9, which is not",
        "train-6.png",
        "train-7.png",
        "val: error: 1 photo is also in train, so the splits are not independent: val-3 (train: train-9)",
        "val: error: 1 image is nearly the same as one of train, so the splits are not independent: val-4"
        " (train: ",
        "train: note: objects that cover no pixels: 1 (train-3, object 1)",
        "train: note: duplicate objects: 1 (train-2, object 1)",
        "train: note: objects with fewer than 16 square pixels: 1 (train-5, object 1)",
        "train: note: images that are nearly the same as others of the split: 1 (train-8 (train-1))",
        "train: note: classes with fewer than 10 training examples: 2 (cup: ",
    ):
        assert text in told, text
    assert main([*words, "--fix", str(out)]) == 0
    printed = capsys.readouterr().out
    assert digests(planted) == before
    assert "repair: took the box of the mask: 1" in printed
    assert f"{out / 'changes.csv'} lists them" in printed
    assert printed.partition("The copy:")[2].count("no errors") == 1
    changes = changes_of(out)
    by_image = {(each["image"], each["object"]): each["change"] for each in changes if each["image"]}
    assert by_image[("train-1", "0")] == "took the box of the mask"
    assert by_image[("train-2", "1")] == by_image[("train-3", "1")] == "left out the object"
    assert by_image[("train-4", "")] == "left out"
    for image in ("train-6", "train-8", "train-9", "train-10"):
        assert by_image[(image, "")] == "left out the image"
    assert not any(each["split"] == "val" for each in changes), "what is measured stays the same"
    assert sum("train-7.png" in each["found"] for each in changes) == 1
    assert sum("category_id 9" in each["found"] for each in changes) == 1
    assert len(changes) == 10
    # the rest is as it was: photos byte for byte, polygons as polygons, the tiny object
    fixed = json.loads((out / "annotations" / "instances_train.json").read_text())
    assert [image["file_name"] for image in fixed["images"]] == [
        f"train-{number}.png" for number in (1, 2, 3, 4, 5, 11, 12, 13, 14)
    ]
    assert all(isinstance(each["segmentation"], list) for each in fixed["annotations"])
    copied = digests(out)
    for image in fixed["images"]:
        name = f"train/{image['file_name']}"
        assert copied[name] == before[name]
    assert [each["bbox"] for each in fixed["annotations"] if each["image_id"] == 1] == [[5, 4, 20, 20]]
    assert [each["area"] for each in fixed["annotations"] if each["image_id"] == 5] == [400, 9]
    dataset = open_dataset("coco", out, "val")
    assert dataset.ids == tuple(f"val-{number}" for number in range(1, 13))


def test_nothing_to_repair_is_a_copy_without_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    for split, first in (("train", 0), ("val", 50)):
        content = document(folder, split, first)
        write(folder, split, content)
    assert main(["data", "check", "coco", "--data-dir", str(folder), "--fix", str(tmp_path / "out")]) == 0
    assert "0 changes in the copy" in capsys.readouterr().out
    assert changes_of(tmp_path / "out") == []
    assert len(open_dataset("coco", tmp_path / "out", "train")) == 12


def test_label_images_are_repaired_as_label_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    (folder / "classes.txt").parent.mkdir()
    (folder / "classes.txt").write_text("ground\nthing\n")
    for split, first in (("train", 0), ("val", 50)):
        for number in range(3):
            photo(folder / "images" / split / f"{number}.png", first + number)
            label = np.zeros(SIZE, np.uint8)
            label[10:40, 10 : 50 + number] = 1
            path = folder / "labels" / split / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), label)
    (folder / "labels" / "train" / "1.png").write_bytes(b"no picture")
    (folder / "images" / "val" / "2.png").write_bytes((folder / "images" / "train" / "0.png").read_bytes())
    before = digests(folder)
    words = ["data", "check", "masks", "--data-dir", str(folder), "--fix", str(tmp_path / "out")]
    assert main(words) == 0
    assert digests(folder) == before
    changed = {(each["split"], each["image"]): each["change"] for each in changes_of(tmp_path / "out")}
    assert changed == {
        ("train", "train/1"): "left out the image",
        ("train", "train/0"): "left out the image",
    }
    printed = capsys.readouterr().out.partition("The copy:")[2]
    assert "train: 1 sample," in printed
    assert "val: 3 samples" in printed
    truth = open_dataset("masks", folder, "val", {})
    copy = open_dataset("masks", tmp_path / "out", "val")
    for index in range(3):
        one, other = truth[index].label_map, copy[index].label_map
        assert one is not None
        assert other is not None
        assert bool((one == other).all())


def test_what_a_copy_cannot_hold_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from panoptic_cases import write_shapes

    write_shapes(tmp_path / "data", train=3, val=2)
    words = ["data", "check", "coco-panoptic", "--data-dir", str(tmp_path / "data")]
    assert main([*words, "--fix", str(tmp_path / "out")]) == 0
    assert "lost in the copy: panoptic: all of it" in capsys.readouterr().out
    assert len(open_dataset("masks", tmp_path / "out", "train")) == 3


def test_where_nothing_is_left_there_is_no_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    content = document(folder, "train", 0, 1)
    write(folder, "train", content)
    (folder / "train" / "train-1.png").write_bytes(b"no picture")
    words = ["data", "check", "coco", "--data-dir", str(folder), "--split", "train"]
    assert main([*words, "--fix", str(tmp_path / "out")]) == 1
    assert "no image is left that could be written. Hint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_published_splits_stay_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody may move their photos, so that copies between them are told and left."""
    from toolkit import registry

    manifest = registry.datasets().get("camvid")
    assert manifest.fixed_splits
    folder = tmp_path / "data"
    manifest.resolve(manifest.sample)(folder)
    assert main(["data", "check", "camvid", "--data-dir", str(folder), "--fix", str(tmp_path / "out")]) == 0
    assert changes_of(tmp_path / "out") == []


@pytest.mark.parametrize("where", [".", "inside"])
def test_never_in_place(planted: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = digests(planted)
    words = ["data", "check", "coco", "--data-dir", str(planted), "--fix", str(planted / where)]
    assert main(words) == 2
    assert "is in the folder of the dataset" in capsys.readouterr().err
    assert digests(planted) == before


def test_a_folder_that_is_not_empty_is_refused(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    words = ["data", "check", "coco", "--data-dir", str(planted), "--fix", str(tmp_path / "out")]
    assert main(words) == 1
    assert "is not empty. Hint" in capsys.readouterr().err


def test_a_split_that_cannot_be_opened_is_still_a_fault(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "check", "coco", "--data-dir", str(planted), "--fix"]
    (planted / "annotations" / "instances_val.json").write_text("{")
    assert main([*words, str(tmp_path / "out")]) == 1
    assert "no errors" in capsys.readouterr().out.partition("The copy:")[2]
    (planted / "annotations" / "instances_val.json").unlink()
    assert main([*words, str(tmp_path / "more")]) == 1
    assert "no errors" in capsys.readouterr().out.partition("The copy:")[2]


def test_classes_in_another_order_become_one_and_others_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    train, val = document(folder, "train", 0), document(folder, "val", 50)
    val["categories"] = [{"id": 1, "name": "box"}, {"id": 2, "name": "cup"}]
    write(folder, "train", train)
    write(folder, "val", val)
    words = ["data", "check", "coco", "--data-dir", str(folder), "--fix"]
    assert main([*words, str(tmp_path / "out")]) == 0
    copy, given = (open_dataset("coco", each, "val") for each in (tmp_path / "out", folder))
    assert copy.classes == ("cup", "box")
    for index in range(12):
        one, other = copy[index].instances, given[index].instances
        assert one is not None
        assert other is not None
        assert [copy.classes[i] for i in one.labels] == [given.classes[i] for i in other.labels]
    val["categories"] = [{"id": 1, "name": "box"}, {"id": 2, "name": "mug"}]
    write(folder, "val", val)
    assert main([*words, str(tmp_path / "more")]) == 1
    assert "one copy cannot contain both. Hint" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
