"""Which label file belongs to which image; what datasets promise of it is in ``test_yolo_dataset.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.data.notes import noting
from toolkit.errors import DataError
from toolkit.formats.yolo_label_files import LabelFiles, label_folder

OBJECT = "0 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8\n"


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images", "labels"),
        ("images/train", "labels/train"),
        ("images/images/a", "images/labels/a"),
        ("IMAGES/a", "labels/a"),
        ("photos/a", "photos/a"),
        ("my images/a", "my images/a"),
    ],
)
def test_the_last_images_becomes_labels(tmp_path: Path, images: str, labels: str) -> None:
    assert label_folder(tmp_path / images) == tmp_path / labels


def test_the_folder_is_called_as_it_is_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "Labels").mkdir()
    assert label_folder(tmp_path / "images" / "a") == tmp_path / "Labels" / "a"
    (tmp_path / "labels").mkdir()
    assert label_folder(tmp_path / "images" / "a") == tmp_path / "labels" / "a"


def put(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OBJECT if path.suffix.lower() == ".txt" else "")
    return paths


def test_files_are_found_whether_they_are_there_or_not(tmp_path: Path) -> None:
    images = put(tmp_path, "images/a.png", "images/b.png")
    put(tmp_path, "labels/a.TXT")
    with noting() as notes:
        files = LabelFiles(images, tmp_path)
    assert files.of(images[0]) == tmp_path / "labels" / "a.TXT"
    assert files.of(images[1]) == tmp_path / "labels" / "b.txt"
    assert sum(notes.values()) == 1


def test_images_of_which_none_has_a_label_file(tmp_path: Path) -> None:
    images = put(tmp_path, "images/a.png", "images/b.png")
    with pytest.raises(DataError, match=r"none of the 2 images has a label file; .*labels/a\.txt .*Hint"):
        LabelFiles(images, tmp_path)
