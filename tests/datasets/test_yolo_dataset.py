"""What the reader of YOLO's segments promises: the usual layouts read, and faults name file and line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.notes import noting
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
    with pytest.raises(MissingSplitError, match="lists no images for 'test'"):
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
        ("2 0.1 0.2 0.5 0.2 0.5 0.8", r"has class 2, but there are only 2 \(0…1\)"),
        ("-1 0.1 0.2 0.5 0.2 0.5 0.8", "has class -1"),
        ("0.5 0.1 0.2 0.5 0.2 0.5 0.8", "has class 0.5"),
        ("cat 0.1 0.2 0.5 0.2 0.5 0.8", "expected numbers, but could not convert string to float: 'cat'"),
        ("0 0.1 0.2 0.5 0.2 0.5", "the polygon has 5 numbers"),
        ("0", "the polygon has 0 numbers"),
        ("0 2 4 10 4 10 8", "has 2; expected fractions of the width and height, 0…1. Hint: divide"),
        ("0 0.1 nan 0.5 0.2 0.5 0.8", "has nan"),
        ("0 0.1 0.1 0.5 0.1 0.7 0.1", "covers no pixel"),
        ("0 0.5 0.5 0 0.1", "has no area in the image"),
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
        ("train: [", "data.yaml, line 1, column 9 is not valid YAML"),
        ("train: images/train\n", "has no names of classes"),
        ("train: images/train\nnames: {0: cat, 2: dog}\n", "names must number its names from 0 without gaps"),
        ("train: images/train\nnames: [cat, cat]\n", "lists the class 'cat' twice"),
        ("train: images/train\nnames: cat\n", "names must be a list of names, not 'cat'"),
        ("train: images/train\nnames: [cat]\nnc: 2\n", "says nc: 2, but names 1 class\\. Hint"),
        ("train: images/train\nnames: [cat]\nnc: '2'\n", "nc is '2'; expected the number .* nc: 1, or"),
        ("train: images/train\nnames: [cat]\nnc: 1.0\n", "nc is 1.0; expected the number of classes"),
        ("train: images/train\nnames: [cat]\nnc: true\n", "nc is True; expected the number of classes"),
        ("train: images/train\nnames: [cat]\nnc: [1]\n", "nc is .1.; expected the number of classes"),
        ("train: empty\nnames: [cat]\npath: [a]\n", "path is ..a..; expected a folder, as text"),
        ("train: empty\nnames: [cat]\npath: 2024\n", "path is 2024; .* put a name of digits in quotes"),
        ("train: empty\nnames: [cat]\npath: {a: b}\n", "path is ..a.: .b..; expected a folder"),
        ("- cat\n", "expected names of classes and folders of images"),
        ("train: 5\nnames: [cat]\n", "train contains 5; expected a folder"),
        ("train: images\nnames: [cat]\nkpt_shape: [4]\n", "kpt_shape is .4.; expected .KEYPOINTS, 2."),
        ("train: empty\nvalid: empty\nval: empty\nnames: [cat]\n", "train: empty contains no images"),
        (
            "train: elsewhere\nnames: [cat]\n",
            "names elsewhere for .train., but there is no .*elsewhere. Hint",
        ),
        ("train: empty\nnames: [cat]\n", "train: empty contains no images"),
    ],
)
def test_faults_of_data_yaml(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        yolo(tmp_path)
    assert str(tmp_path / "data.yaml") in str(caught.value)


@pytest.mark.parametrize(
    "line", ["nc: 2", "nc: null", "nc:", "path: null", "path:", "path: ''", "path: '2024'"]
)
def test_what_data_yaml_may_say_of_number_and_folder(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "2024" if "2024" in line else tmp_path
    put(folder, "a", SQUARE)
    (tmp_path / "data.yaml").write_text(f"train: images/train\nnames: [cat, dog]\n{line}\n")
    assert yolo(tmp_path).ids == ("a",)


def test_files_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.yaml does not exist"):
        yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", None).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a.txt is text in UTF-16, not UTF-8"):
        yolo(tmp_path)[0]


def test_a_label_file_that_would_be_waited_for(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    label = put(tmp_path, "a", None)
    os.mkfifo(label)
    with pytest.raises(DataError, match=r"a.txt is a named pipe, not a file; it should contain YOLO labels"):
        yolo(tmp_path)[0]


@pytest.mark.parametrize(
    "entry", ["/content/set/images/train", "C:\\set\\images\\train", "/x/images%2Ftrain"]
)
def test_folders_of_another_machine(tmp_path: Path, entry: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "toolkit")
    (tmp_path / "data.yaml").write_text(f"names: [cat, dog]\ntrain: {entry}\nval: {entry[:-5]}val\n")
    put(tmp_path, "a", SQUARE)
    assert yolo(tmp_path).ids == ("a",)
    assert f"a path on another machine; {tmp_path}/images/train is used instead" in caplog.text
    with pytest.raises(
        DataError, match=r"for 'val', but there is no .*Hint: write a path from the folder of"
    ):
        yolo(tmp_path, "val")


def test_one_folder_is_not_taken_for_two_of_another_machine(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: /x/train/images\nval: /x/val/images\n")
    put(tmp_path, "a", SQUARE, images="images", labels="labels")
    for split in ("train", "val"):
        with pytest.raises(DataError, match=f"for '{split}', but there is no"):
            yolo(tmp_path, split)


def test_label_folders_in_another_case(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: Images/train\n")
    put(tmp_path, "a", SQUARE, "Images/train", "LABELS/train")
    put(tmp_path, "b", SQUARE, "Images/train", "LABELS/train").rename(tmp_path / "LABELS" / "train" / "b.TXT")
    dataset = yolo(tmp_path)
    assert [len(dataset[i].instances) for i in range(2)] == [1, 1]


def test_labels_that_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", SQUARE)
    put(tmp_path, "b", SQUARE, labels="labels")
    with pytest.raises(
        DataError, match=r"in the wrong folder: 1 .*labels/b.txt, for .*expected at .*train/b.txt"
    ):
        yolo(tmp_path)


def test_labels_of_other_splits_are_not_those_of_this_one(tmp_path: Path) -> None:
    """An image without objects that has the name of one with objects in another split."""
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", SQUARE)
    put(tmp_path, "b", SQUARE)
    put(tmp_path, "a", None, "images/val", "labels/val")
    put(tmp_path, "c", SQUARE, "images/val", "labels/val")
    assert [len(sample.instances) for sample in (yolo(tmp_path, "val")[i] for i in range(2))] == [0, 1]


def test_labels_without_an_image(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", SQUARE)
    for name, text in (("classes", "cat\ndog\n"), ("README", "0 is a cat"), ("empty", "")):
        (tmp_path / "labels" / "train" / f"{name}.txt").write_text(text)
    assert len(yolo(tmp_path)) == 1, "these are no label files"
    (tmp_path / "labels" / "train" / "A (1).txt").write_text(SQUARE)
    with pytest.raises(DataError, match=r"without an image in .*images/train: 1 \(A \(1\).txt\)"):
        yolo(tmp_path)


def test_no_label_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", None)
    with pytest.raises(
        DataError, match=r"none of the 1 images has a label file; expected, for example, .*a.txt"
    ):
        yolo(tmp_path)
    put(tmp_path, "a", "")
    assert len(yolo(tmp_path)[0].instances) == 0


def test_names_are_text_as_they_are_written(tmp_path: Path) -> None:
    written = ["on", "0o17", "12_3", "2e5", "Null", "1:30", "2020-02-30", ".5", "yes"]
    put(tmp_path, "a", SQUARE)
    for names in (f"[{', '.join(written)}]", f"{{{', '.join(f'{i}: {n}' for i, n in enumerate(written))}}}"):
        (tmp_path / "data.yaml").write_text(f"train: images/train\nnames: {names}\n")
        assert yolo(tmp_path).classes == tuple(written)


def test_other_names_of_splits(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\nvalid: images/val\nminival: images/val\n")
    put(tmp_path, "a", SQUARE, "images/val", "labels/val")
    assert yolo(tmp_path, "val").ids == ("a",)
    left = unread(registry.datasets().get("yolo"), tmp_path)
    assert left == [f"{tmp_path / 'data.yaml'}: minival: images/val"]
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\nvalid: images/val\nval: images/val\n")
    with pytest.raises(DataError, match=r"has both val and valid for the split 'val'. Hint: remove one"):
        yolo(tmp_path, "val")


def test_lists_from_other_machines(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: train.txt\nval: val.txt\n")
    for name in ("a", "b", "c d"):
        put(tmp_path, name, SQUARE)
    (tmp_path / "train.txt").write_text("D:\\set\\images\\train\\a.png\nD:\\set\\images\\train\\b.png\n")
    (tmp_path / "val.txt").write_text("images/train/c%20d.png\n")
    assert [Path(yolo(tmp_path)[i].path or "").name for i in range(2)] == ["a.png", "b.png"]
    assert len(yolo(tmp_path, "val")[0].instances) == 1
    (tmp_path / "val.txt").write_text("images/train/a.png\nimages/train/gone.png\n")
    with pytest.raises(DataError, match=r"val.txt names but that do not exist: 1 \(images/train/gone.png\)"):
        yolo(tmp_path, "val")


def test_what_is_no_data_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML)
    put(tmp_path, "a", SQUARE)
    for name in ("._a", ".ipynb_checkpoints/a-checkpoint", "__MACOSX/a"):
        put(tmp_path, name, None)
    (tmp_path / "images" / "train" / "b.HEIC").write_bytes(b"x")
    with noting() as notes:
        assert yolo(tmp_path).ids == ("a",)
    assert dict(notes) == {"files .heic are skipped, because this kind of picture is not supported": 1}


def test_poses_are_boxes_with_keypoints(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAML + "kpt_shape: [2, 3]\n")
    put(tmp_path, "a", "1 0.5 0.5 0.4 0.4 0.35 0.4 2 0 0 0\n")
    instances = yolo(tmp_path)[0].instances
    assert instances.masks is None
    np.testing.assert_allclose(instances.boxes_xyxy.numpy(), [[6, 3, 14, 7]], rtol=1e-6)
    np.testing.assert_allclose(instances.keypoints.numpy(), [[[7, 4, 2], [0, 0, 0]]], rtol=1e-6)
