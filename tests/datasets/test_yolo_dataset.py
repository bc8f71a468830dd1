"""What the reader of YOLO's segments promises: the usual layouts read, and faults name file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, MissingSplitError

SIZE = (10, 20)
SQUARE = "1 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8"
YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


def yolo(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("yolo"), folder, split, options)


def put(
    folder: Path, name: str, lines: str | None, images: str = "images/train", labels: str = "labels/train"
) -> Path:
    image, label = folder / images / f"{name}.png", folder / labels / f"{name}.txt"
    image.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(image), np.full((*SIZE, 3), 90, np.uint8))
    label.parent.mkdir(parents=True, exist_ok=True)
    if lines is not None:
        label.write_text(lines)
    return label


def test_polygons_and_images_without_objects(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "b", f"{SQUARE}\n\n0 0 0 1 0 1 1 0 1\n")
    put(tmp_path, "sub/c", "", labels="labels/train")
    put(tmp_path, "a", None)
    dataset = yolo(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.ids == ("a", "b", "sub/c")
    instances = dataset[1].instances
    assert instances.labels.tolist() == [1, 0]
    expected = np.zeros((2, *SIZE), bool)
    expected[0, 2:8, 2:10] = True
    expected[1] = True
    assert np.array_equal(instances.masks.dense().numpy(), expected)
    assert instances.boxes_xyxy.tolist() == [[2, 2, 10, 8], [0, 0, 20, 10]]
    assert [len(dataset[i].instances) for i in (0, 2)] == [0, 0]
    with pytest.raises(MissingSplitError, match="names no images for 'test'"):
        yolo(tmp_path, "test")


def test_a_bridge_between_parts_covers_no_pixel(tmp_path: Path) -> None:
    """A square of 8 pixels with a hole of 2 in it, joined at a corner."""
    (tmp_path / "data.yaml").write_text(YAML)
    points = [(2, 1), (10, 1), (10, 9), (2, 9), (2, 1), (5, 4), (7, 4), (7, 6), (5, 6), (5, 4)]
    put(tmp_path, "a", " ".join(["0", *(f"{x / 20} {y / 10}" for x, y in points)]))
    expected = np.zeros(SIZE, bool)
    expected[1:9, 2:10] = True
    expected[4:6, 5:7] = False
    assert np.array_equal(yolo(tmp_path)[0].instances.masks.dense()[0].numpy(), expected)


def test_boxes(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", "0 0.5 0.5 0.5 0.25\n1 0.9 0.5 0.4 0.2\n")
    instances = yolo(tmp_path)[0].instances
    assert instances.masks is None
    np.testing.assert_allclose(instances.boxes_xyxy.numpy(), [[5, 3.75, 15, 6.25], [14, 4, 20, 6]], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "images", "labels"),
    [
        ("train: ../train/images\nnames: [cat, dog]\nnc: 2\n", "train/images", "train/labels"),
        ("train: [images/train]\nnames: [cat, dog]\n", "images/train", "labels/train"),
        ("path: /nowhere/at/all\ntrain: images\nnames: [cat, dog]\n", "images", "labels"),
        ("train: photos\nnames: [cat, dog]\n", "photos", "photos"),
        ("path: set\ntrain: images/train\nnames: [cat, dog]\n", "set/images/train", "set/labels/train"),
    ],
)
def test_layouts(tmp_path: Path, text: str, images: str, labels: str) -> None:
    (tmp_path / "my.yaml").write_text(text)
    put(tmp_path, "a", SQUARE, images, labels)
    dataset = yolo(tmp_path, file="my.yaml")
    assert dataset.ids == ("a",)
    assert len(dataset[0].instances) == 1


def test_lists_of_images(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("train: train.txt\nnames: [cat, dog]\n")
    (tmp_path / "train.txt").write_text("./images/train/b.png\n\nimages/train/a.png\n")
    for name in "abc":
        put(tmp_path, name, SQUARE)
    dataset = yolo(tmp_path)
    assert dataset.ids == ("images/train/a", "images/train/b")
    assert len(dataset[0].instances) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.1 0.2 0.5 0.2 0.5 0.8", r"is of class 2, but there are only 2 \(0…1\)"),
        ("-1 0.1 0.2 0.5 0.2 0.5 0.8", "is of class -1"),
        ("0.5 0.1 0.2 0.5 0.2 0.5 0.8", "is of class 0.5"),
        ("cat 0.1 0.2 0.5 0.2 0.5 0.8", "expected numbers, but could not convert string to float: 'cat'"),
        ("0 0.1 0.2 0.5 0.2 0.5", "the polygon has 5 numbers"),
        ("0", "the polygon has 0 numbers"),
        ("0 2 4 10 4 10 8", "has 2; expected parts of the width and height, 0…1. Hint: divide"),
        ("0 0.1 nan 0.5 0.2 0.5 0.8", "has nan"),
        ("0 0.1 0.1 0.5 0.1 0.7 0.1", "covers no pixel"),
        ("0 0.5 0.5 0 0.1", "has no area in the image"),
        ("0 0.5 0.5 0.1 0.1", "has no mask, but other objects of the image have one"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    path = put(tmp_path, "a", f"{SQUARE}\n\n{line}\n")
    with pytest.raises(DataError, match=message) as caught:
        yolo(tmp_path)[0]
    assert str(caught.value).startswith(f"{path}, line 3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: [", "line 1, column 9 is not valid YAML"),
        ("train: images/train\n", "names must be a list of different classes"),
        (
            "train: images/train\nnames: {0: cat, 2: dog}\n",
            "line 2: names must number",
        ),
        ("train: images/train\nnames: [cat, cat]\n", "names must be a list of different classes"),
        ("train: elsewhere\nnames: [cat]\n", "names elsewhere, but there is neither"),
        ("train: empty\nnames: [cat]\n", "train: empty holds no images"),
    ],
)
def test_faults_of_data_yaml(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        yolo(tmp_path)
    assert str(tmp_path / "data.yaml") in str(caught.value)


def test_files_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.yaml does not exist"):
        yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", None).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a.txt cannot be read as text"):
        yolo(tmp_path)[0]
