from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.coco_files import (
    candidates,
    has_all_splits,
    image_paths,
    matching,
    of_split,
    root_and_file,
    states_splits,
)

PATTERNS = ("annotations/kind_{}*.json", "{}.json")


def touched(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_the_first_pattern_that_finds_anything_counts(tmp_path: Path) -> None:
    touched(tmp_path, "annotations/kind_val2017.json", "val.json", "test.json", "annotations/.kind_val.json")
    file = tmp_path / "annotations/kind_val2017.json"
    assert root_and_file(tmp_path, "val", "", PATTERNS) == (tmp_path, file)
    assert root_and_file(tmp_path, "test", "", PATTERNS) == (tmp_path, tmp_path / "test.json")
    assert root_and_file(tmp_path, "val", "val.json", PATTERNS) == (tmp_path, tmp_path / "val.json")
    assert candidates(tmp_path, "train", PATTERNS) == []
    assert matching(tmp_path, "annotations/*") == [file], "hidden files are no data"


def test_a_file_by_itself_is_of_the_split_that_it_is_named_after(tmp_path: Path) -> None:
    touched(tmp_path, "annotations/kind_val.json", "mine.json")
    file = tmp_path / "annotations/kind_val.json"
    assert root_and_file(file, "val", "", PATTERNS) == (tmp_path, file)
    assert root_and_file(tmp_path / "mine.json", "val", "", PATTERNS) == (tmp_path, tmp_path / "mine.json")
    with pytest.raises(MissingSplitError, match="named after the split 'val', so it has no 'train'. Hint"):
        root_and_file(file, "train", "", PATTERNS)


def test_none_and_several_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingSplitError, match=r"none of annotations/kind_val\*.json, val.json. Hint: set"):
        root_and_file(tmp_path, "val", "", PATTERNS)
    touched(tmp_path, "annotations/kind_val1.json", "annotations/kind_val2.json")
    with pytest.raises(
        DataError, match=r"more than one annotation file of the split 'val': .*val1.*Hint: set"
    ):
        root_and_file(tmp_path, "val", "", PATTERNS)


def test_images_are_looked_for_where_the_file_says(tmp_path: Path) -> None:
    touched(tmp_path, "val2017/a.jpg", "photos/val/a.jpg")
    file = tmp_path / "annotations/kind_val2017.json"
    usual = image_paths(tmp_path, "val", file, ["a.jpg"], "")
    assert usual.require("a.jpg") == tmp_path / "val2017/a.jpg"
    chosen = image_paths(tmp_path, "val", file, ["a.jpg"], "photos/{split}")
    assert chosen.require("a.jpg") == tmp_path / "photos/val/a.jpg"
    with pytest.raises(DataError, match="Hint: put the images there, or set data.options.images=FOLDER"):
        usual.require("b.jpg")


def test_a_file_whose_images_state_their_splits() -> None:
    images = [{"id": 1, "split": "train"}, {"id": 2, "split": "valid"}, {"id": 3}, "damaged", {"id": [4]}]
    annotations = [{"image_id": key} for key in (1, 2, 3, 9)]
    document = {"images": images, "annotations": [*annotations, "damaged"], "categories": [7]}
    assert states_splits(document)
    assert of_split(document, "val") == {
        "images": [images[1], "damaged"],
        "annotations": [{"image_id": 2}, {"image_id": 9}, "damaged"],
        "categories": [7],
    }
    found = of_split(document, "train")
    assert found["images"] == [images[0], *images[2:]], "training if nothing is said"
    assert [each["image_id"] for each in found["annotations"][:-1]] == [1, 3, 9]
    assert of_split(document, "test")["images"] == ["damaged"]


@pytest.mark.parametrize(
    "document", [None, [], {}, {"images": None}, {"images": [{"split": ["train"]}, {"split": "mine"}, 7]}]
)
def test_other_files_do_not(document: object) -> None:
    assert not states_splits(document)


def test_its_name() -> None:
    assert has_all_splits(Path("photos/annotations/instances.json"))
    assert not has_all_splits(Path("photos/instances.json"))
    assert not has_all_splits(Path("photos/annotations/instances_train.json"))
