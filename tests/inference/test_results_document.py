"""``predictions.json`` of a folder, from the records of its images and their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError
from toolkit.inference.results_document import results_document

CLASSES = ("sky", "cup")
VALUES = LabelValues((3, 7), 0)


def record(name: str, **outputs: str) -> dict[str, Any]:
    return {"image": name, "status": "ok", "size": [4, 6], "outputs": outputs}


def document(folder: Path, *done: dict[str, Any]) -> Any:
    return json.loads("".join(results_document(folder, done, CLASSES, VALUES, {"toolkit": "1"})))


def test_without_an_image(tmp_path: Path) -> None:
    assert document(tmp_path) == {
        "info": {"toolkit": "1", "description": "Predictions of the toolkit"},
        "images": [],
        "categories": [{"id": 1, "name": "sky"}, {"id": 2, "name": "cup"}],
        "annotations": [],
    }


def test_objects_are_numbered_over_all_images_and_keep_what_they_have(tmp_path: Path) -> None:
    first = [{"category_id": 1, "bbox": [0, 0, 1, 1]}, {"category_id": 2, "mine": {"a": None}}]
    (tmp_path / "a.json").write_text(json.dumps(first))
    (tmp_path / "b.json").write_text("[]")
    (tmp_path / "c.json").write_text(json.dumps(first[:1]))
    made = document(
        tmp_path,
        record("a.png", instances="a.json", overlay="overlays/a.jpg"),
        record("b.png", instances="b.json"),
        record("d.png"),
        record("c.png", instances="c.json", depth="depth/c.png"),
    )
    assert made["annotations"] == [
        {"id": 1, "image_id": 1, **first[0]},
        {"id": 2, "image_id": 1, **first[1]},
        {"id": 3, "image_id": 4, **first[0]},
    ]
    assert made["images"] == [
        {"id": 1, "file_name": "a.png", "width": 6, "height": 4},
        {"id": 2, "file_name": "b.png", "width": 6, "height": 4},
        {"id": 3, "file_name": "d.png", "width": 6, "height": 4},
        {"id": 4, "file_name": "c.png", "width": 6, "height": 4, "depth": "depth/c.png"},
    ]
    assert "void_value" not in made["info"]


def test_label_images_come_with_the_values_in_them(tmp_path: Path) -> None:
    made = document(tmp_path, record("a.png", label_map="labels/a.png"))
    assert made["images"][0]["label_map"] == "labels/a.png"
    assert made["info"]["void_value"] == 0
    assert [each["label_value"] for each in made["categories"]] == [3, 7]


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]"])
def test_objects_that_cannot_be_read_any_more(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json.*Hint"):
        document(tmp_path, record("a.png", instances="a.json"))
