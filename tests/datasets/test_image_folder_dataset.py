"""What the reader of folders of classes promises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import registry
from toolkit.cli import main
from toolkit.data.checks import check_split
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.errors import ConfigError, DataError, MissingSplitError, OutputError

FIELD = "class_probabilities"


def images(folder: Path, split: str = "train", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("image-folder"), folder, split, options)


def write(folder: Path, *names: str) -> None:
    rng = np.random.default_rng(len(names))
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))


def labels(dataset: Dataset) -> dict[str, str]:
    found = {}
    for i in range(len(dataset)):
        truth = dataset[i].extras[FIELD]
        assert truth.dtype.is_floating_point
        assert sorted(truth.tolist()) == [0.0] * (len(dataset.classes) - 1) + [1.0]
        found[dataset.ids[i]] = dataset.classes[int(truth.argmax())]
    return found


def test_folders_are_splits_and_in_them_classes(tmp_path: Path) -> None:
    write(
        tmp_path,
        "train/dog/a.png",
        "train/cat/b.jpg",
        "train/cat/deep/c.png",
        "valid/cat/a.png",
        "test/dog/x.png",
    )
    train = images(tmp_path)
    assert train.classes == ("cat", "dog")
    assert labels(train) == {"cat/b": "cat", "cat/deep/c": "cat", "dog/a": "dog"}
    assert labels(images(tmp_path, "val")) == {"cat/a": "cat"}
    assert labels(images(tmp_path, "test")) == {"dog/x": "dog"}
    sample = train[2]
    assert sample.size == (6, 9)
    assert sample.path == str(tmp_path / "train" / "dog" / "a.png")


def test_without_folders_of_splits_a_hash_decides(tmp_path: Path) -> None:
    write(tmp_path, *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(30)))
    parts = {split: images(tmp_path, split, val_fraction=0.3) for split in ("train", "val", "test")}
    names = [name for part in parts.values() for name in part.ids]
    assert sorted(names) == sorted(f"{name}/{i}" for name in ("cat", "dog") for i in range(30))
    assert len(parts["train"]) > len(parts["val"]) > len(parts["test"]) > 0
    assert {part.classes for part in parts.values()} == {("cat", "dog")}
    write(tmp_path, "cat/one more.png")
    assert set(parts["val"].ids) <= set(images(tmp_path, "val", val_fraction=0.3).ids), "an image stays"
    with pytest.raises(MissingSplitError, match=r"Hint: set another data\.options\.test_fraction"):
        images(tmp_path, "test", test_fraction=0)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """Vehicles: there is no folder in it, so it is no split."""
    write(tmp_path, *(f"{name}/{i}.png" for name in ("bus", "train") for i in range(20)))
    assert images(tmp_path).classes == ("bus", "train")
    with pytest.raises(DataError, match=r"has no folder train/ with folders of classes in it\. Hint: sort"):
        images(tmp_path, split_by="folder")
    (tmp_path / "train" / "express").mkdir()
    assert images(tmp_path, split_by="fraction").classes == ("bus", "train")


def test_numbers_are_sorted_by_their_value_and_classes_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, *(f"train/{name}/a.png" for name in ("10", "9", "n2", "n10", "b")))
    assert images(tmp_path).classes == ("9", "10", "b", "n2", "n10")
    some = images(tmp_path, classes=["n10", "9"])
    assert labels(some) == {"n10/a": "n10", "9/a": "9"}
    manifest = registry.datasets().get("image-folder")
    assert unread(manifest, tmp_path, {"classes": ["n10", "9"]}) == [
        f"{tmp_path / 'train' / name} (1 images)" for name in ("10", "b", "n2")
    ]
    with pytest.raises(
        DataError, match=r"classes without a folder in .*train: 1 \(cow\); there are 9, 10, b"
    ):
        images(tmp_path, classes=["9", "cow"])
    for wrong in ([], ["9", "9"]):
        with pytest.raises(ConfigError, match="classes must be one or more different names"):
            images(tmp_path, classes=wrong)
    with pytest.raises(ConfigError, match="leave no training images"):
        images(tmp_path, val_fraction=0.5, test_fraction=0.5)


def test_what_is_no_data_is_passed_over_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        "train/cat/a.png",
        "train/cat/._a.png",
        "train/__MACOSX/cat/a.png",
        "extra/cat/a.png",
        "b.png",
    )
    (tmp_path / "train" / "cat" / "notes.txt").write_text("x")
    write(tmp_path, "train/loose.png")
    assert labels(images(tmp_path)) == {"cat/a": "cat"}
    assert unread(registry.datasets().get("image-folder"), tmp_path) == [
        f"{tmp_path} (1 images outside of the folders of classes)",
        f"{tmp_path / 'extra'} (1 images)",
        f"{tmp_path / 'train'} (1 images outside of the folders of classes)",
    ]


@pytest.mark.parametrize(
    ("names", "split", "error", "message"),
    [
        (("a.png",), "train", DataError, "has no folders; expected one for each class, named after it"),
        (
            ("train/cat/a.txt",),
            "train",
            DataError,
            r"has no images \(.*\) in the folders of its classes: cat",
        ),
        (("cat/a.txt",), "train", DataError, "has no images .* Hint: put the images of each class"),
        (
            ("train/cat/a.png",),
            "val",
            MissingSplitError,
            r"no split 'val': there are train\. Hint: put images",
        ),
        (
            ("train/cat/a.png", "val/cow/a.png", "val/cat/a.png"),
            "val",
            DataError,
            r"folders in .*val that are no classes of .*train: 1 \(cow\)\. Hint: rename them",
        ),
        (
            ("train/cat/a.png", "val/cat/a.png", "valid/cat/a.png"),
            "val",
            DataError,
            "has both val and valid for the split 'val'. Hint: move its images",
        ),
        (
            ("train/cat/a.png", "train/cat/a.jpg"),
            "train",
            DataError,
            r"have the same id 'a'\. Hint: rename or remove one",
        ),
    ],
)
def test_faults_are_named(
    tmp_path: Path, names: tuple[str, ...], split: str, error: type[DataError], message: str
) -> None:
    for name in names:
        if name.endswith(".txt"):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text("no image")
        else:
            write(tmp_path, name)
    with pytest.raises(error, match=message):
        images(tmp_path, split)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        with pytest.raises(DataError, match="Hint: change its permissions"):
            images(tmp_path)
    finally:
        tmp_path.chmod(0o755)


def test_the_stand_in_has_crops_of_the_generated_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = registry.datasets().get("image-folder")
    count = manifest.resolve(manifest.sample)(Path("data/image-folder"), train=20, val=6)
    train, val = (images(Path("data/image-folder"), split) for split in ("train", "val"))
    assert train.classes == val.classes == ("circle", "ring", "square", "star", "triangle")
    assert len(train) + len(val) == count > 60
    assert not check_split(train).faults
    assert main(["data", "check", "image-folder"]) == 0
    out = capsys.readouterr().out
    assert "classes with fewer than 10 training examples: 1 (ring: 9)" in out
    sheet = tmp_path / "sheet.png"
    assert main(["data", "preview", "image-folder", "--out", str(sheet), "--count", "4"]) == 0
    assert cv2.imread(str(sheet)) is not None
    with pytest.raises(OutputError, match="train already exists"):
        manifest.resolve(manifest.sample)(Path("data/image-folder"))
