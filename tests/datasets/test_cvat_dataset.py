"""Which files the dataset ``cvat`` reads for a split, and where it finds the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.faults import gathering
from toolkit.errors import DataError, MissingSplitError

BOX = '<box label="cat" xtl="1" ytl="2" xbr="5" ybr="4"/>'
LABELS = "<label><name>dog</name></label><label><name>cat</name></label>"
META = f"<meta><task><labels>{LABELS}</labels></task></meta>"


def cvat(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("cvat"), folder, split, options)


def put(path: Path, *names: str, meta: str = META, **subsets: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subset = {name: f' subset="{value}"' for value, given in subsets.items() for name in given.split()}
    all_names = [*names, *subset]
    images = "".join(f'<image name="{name}"{subset.get(name, "")}>{BOX}</image>' for name in all_names)
    path.write_text(f"<annotations>{meta}{images}</annotations>")
    return path


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((9, 12, 3), 90, np.uint8))


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("train/annotations.xml", "train/images/a.png"),
        ("train/annotations.xml", "train/a.png"),
        ("training/annotations.xml", "training/images/default/a.png"),
        ("annotations/train.xml", "images/train/a.png"),
        ("train.xml", "images/a.png"),
        ("annotations.xml", "images/a.png"),
        ("annotations.xml", "somewhere/else/a.png"),
    ],
)
def test_where_files_and_images_are(tmp_path: Path, file: str, image: str) -> None:
    put(tmp_path / file, "a.png")
    picture(tmp_path / image)
    found = cvat(tmp_path)
    assert found.ids == ("a",)
    assert found.classes == ("dog", "cat")
    assert found[0].instances.labels.tolist() == [1]
    assert found[0].instances.boxes_xyxy.tolist() == [[1, 2, 5, 4]]
    with pytest.raises(MissingSplitError):
        cvat(tmp_path, "val")
    assert cvat(tmp_path / file).ids == ("a",)


def test_a_project_with_subsets(tmp_path: Path) -> None:
    put(tmp_path / "annotations.xml", Train="a.png b.png", Validation="c.png", spare="d.png")
    for name in ("Train/a", "Train/b", "Validation/c", "spare/d"):
        picture(tmp_path / "images" / f"{name}.png")
    assert cvat(tmp_path).ids == ("a", "b")
    assert cvat(tmp_path, "val").ids == ("c",)
    assert len(cvat(tmp_path, "val")[0].instances) == 1
    with pytest.raises(MissingSplitError, match="no images of a subset 'test'"):
        cvat(tmp_path, "test")
    assert unread(registry.datasets().get("cvat"), tmp_path, {}) == ["annotations.xml: subset spare"]


def test_settings_and_labels_that_are_not_listed(tmp_path: Path) -> None:
    put(tmp_path / "mine.xml", "a.png", meta="")
    picture(tmp_path / "photos/train/a.png")
    assert cvat(tmp_path, train="mine.xml", images="photos/{split}").classes == ("cat",)
    assert cvat(tmp_path, train="mine.xml", classes=("x", "cat"))[0].instances.labels.tolist() == [1]
    assert unread(registry.datasets().get("cvat"), tmp_path, {}) == ["mine.xml"]
    with pytest.raises(DataError, match="no known class; expected one of x"):
        cvat(tmp_path, train="mine.xml", classes=("x",))[0]


def test_missing_images_and_empty_files(tmp_path: Path) -> None:
    put(tmp_path / "train/annotations.xml", "a.png", "b.png")
    with pytest.raises(DataError, match="names the image a.png, which is in none of"):
        cvat(tmp_path)
    picture(tmp_path / "train/images/b.png")
    with gathering() as faults:
        assert cvat(tmp_path).ids == ("b",)
    assert len(faults) == 1
    put(tmp_path / "train/annotations.xml")
    with pytest.raises(DataError, match="names no images"):
        cvat(tmp_path)
