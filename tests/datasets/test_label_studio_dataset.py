"""Which exports the dataset ``label-studio`` reads for a split, and where it finds the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.faults import gathering
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.tool_writers import config_text


def label_studio(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("label-studio"), folder, split, options)


def put(path: Path, *names: str, label: str = "cat") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    box = {"x": 25, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": [label]}
    result = {"type": "rectanglelabels", "value": box, "original_width": 12, "original_height": 10}
    tasks = [{"data": {"image": name}, "annotations": [{"result": [result]}]} for name in names]
    path.write_text(json.dumps(tasks))
    return path


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((10, 12, 3), 90, np.uint8))


@pytest.mark.parametrize(
    ("file", "name", "image", "sample_id"),
    [
        ("train.json", "/data/upload/3/1a2b3c4d-a.png", "images/a.png", "1a2b3c4d-a"),
        ("train.json", "/data/upload/3/1a2b3c4d-a.png", "train/1a2b3c4d-a.png", "1a2b3c4d-a"),
        (
            "train/project-1-at-2025.json",
            "/data/local-files/?d=photos/a%20b.png",
            "train/images/a b.png",
            "photos/a b",
        ),
        ("annotations/train.json", "https://example.org/x/a.png", "images/train/a.png", "x/a"),
        ("training.json", "s3://bucket/x/a.png", "images/a.png", "x/a"),
    ],
)
def test_where_files_and_images_are(tmp_path: Path, file: str, name: str, image: str, sample_id: str) -> None:
    put(tmp_path / file, name)
    picture(tmp_path / image)
    found = label_studio(tmp_path)
    assert found.ids == (sample_id,)
    assert found.classes == ("cat",)
    assert found[0].instances.boxes_xyxy.tolist() == [[3, 2, 9, 6]]
    with pytest.raises(MissingSplitError):
        label_studio(tmp_path, "val")
    assert label_studio(tmp_path / file).ids == (sample_id,)


def test_classes_of_all_splits_or_of_the_configuration(tmp_path: Path) -> None:
    put(tmp_path / "train.json", "a.png", label="dog")
    put(tmp_path / "val.json", "b.png", label="cat")
    put(tmp_path / "spare.json", "c.png", label="cow")
    for name in "abc":
        picture(tmp_path / f"images/{name}.png")
    assert label_studio(tmp_path).classes == label_studio(tmp_path, "val").classes == ("cat", "dog")
    assert label_studio(tmp_path, classes=("dog", "cat")).classes == ("dog", "cat")
    (tmp_path / "config.xml").write_text(config_text(("dog", "owl", "cat")))
    assert label_studio(tmp_path, "val").classes == ("dog", "owl", "cat")
    assert label_studio(tmp_path, "val")[0].instances.labels.tolist() == [2]
    assert unread(registry.datasets().get("label-studio"), tmp_path, {}) == ["spare.json"]


def test_faults(tmp_path: Path) -> None:
    put(tmp_path / "train/one.json", "a.png", "b.png")
    with pytest.raises(DataError, match="names the image a.png, which is in none of"):
        label_studio(tmp_path)
    picture(tmp_path / "train/images/b.png")
    with gathering() as faults:
        assert label_studio(tmp_path).ids == ("b",)
    assert len(faults) == 1
    put(tmp_path / "train/two.json", "b.png")
    with pytest.raises(DataError, match=r"more than one annotation file.*one.json.*two.json.*train=FILE"):
        label_studio(tmp_path)
    assert label_studio(tmp_path, train="train/two.json").ids == ("b",)
    put(tmp_path / "train/two.json")
    with pytest.raises(DataError, match="has no annotated tasks"):
        label_studio(tmp_path, train="train/two.json")
