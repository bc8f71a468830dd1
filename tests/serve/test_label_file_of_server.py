"""The file of labels in memory: ids, splits, and what else a file has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from serve_cases import SIZE, half, ring, rle

from toolkit.errors import DataError
from toolkit.serve.label_file import LabelDocument
from toolkit.types import Masks


def code(mask: object) -> bytes:
    return Masks.from_dense(mask[None]).counts[0]  # type: ignore[index]


def empty(tmp_path: Path) -> LabelDocument:
    return LabelDocument(tmp_path / "labels", tmp_path / "photos")


def test_a_change_makes_a_new_document(tmp_path: Path) -> None:
    first = empty(tmp_path)
    second = first.with_objects("a.png", SIZE, [(None, "cup", code(half(SIZE)))])
    assert first.images == {}
    assert second.objects("a.png")[0]["rle"] == rle(half(SIZE))
    assert second.without("a.png").images == {}
    assert second.without("b.png") is second


def test_ids_are_not_used_twice(tmp_path: Path) -> None:
    document = empty(tmp_path)
    for _ in range(3):
        document = document.with_objects("a.png", SIZE, [(None, "cup", code(half(SIZE)))])
    assert [each["id"] for each in document.objects("a.png")] == [3]
    document = document.with_objects("b.png", SIZE, [(3, "cup", code(half(SIZE)))])
    assert [each["id"] for each in document.objects("b.png")] == [4], "an id of another image is none here"
    twice = document.with_objects("a.png", SIZE, [(3, "cup", code(half(SIZE))), (3, "cup", code(ring(SIZE)))])
    assert [each["id"] for each in twice.objects("a.png")] == [3, 5]


def test_every_fifth_image_is_for_validation(tmp_path: Path) -> None:
    document = empty(tmp_path)
    for number in range(23):
        document = document.with_objects(f"{number}.png", SIZE, [])
    held_out = [name for name, each in document.images.items() if each.record["split"] == "val"]
    assert held_out == ["4.png", "9.png", "14.png", "19.png"]


def test_it_is_read_as_it_was_written_with_what_else_the_file_has(tmp_path: Path) -> None:
    path = tmp_path / "labels" / "annotations" / "instances.json"
    document = empty(tmp_path).with_objects(
        "é/a.png", SIZE, [(None, "tasse à thé", code(ring(SIZE))), (None, "lid", code(half(SIZE)))]
    )
    document.write(path)
    content = json.loads(path.read_text("utf-8"))
    assert content["images"][0]["file_name"] == "../photos/é/a.png"
    assert content["annotations"][0]["bbox"] == [1, 2, 13, 14]
    assert content["annotations"][0]["area"] == ring(SIZE).sum()
    content["info"] = {"license": "mine"}
    content["annotations"][1] |= {"iscrowd": 1, "score": 0.5}
    path.write_text(json.dumps(content))
    again = LabelDocument.read(path, tmp_path / "labels", tmp_path / "photos")
    assert again.objects("é/a.png") == document.objects("é/a.png")
    kept = [(each["id"], each["category"], code(half(SIZE))) for each in again.objects("é/a.png")]
    again.with_objects("é/a.png", SIZE, kept).write(path)
    final = json.loads(path.read_text("utf-8"))
    assert final["info"] == {"license": "mine"}
    assert final["annotations"][1]["iscrowd"] == 1
    assert final["annotations"][1]["score"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 1, "file_name": "a.png"}]}, "no width, no height"),
        ({"images": [{"id": "x", "file_name": "a.png", "height": 40, "width": 60}]}, "no number as its id"),
        (
            {"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]},
            "no run lengths",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": rle(half((9, 9)))}]},
            "of the size of its image",
        ),
    ],
)
def test_what_others_have_written_is_not_overwritten(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "labels" / "annotations" / "instances.json"
    path.parent.mkdir(parents=True)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [],
    }
    path.write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=message):
        LabelDocument.read(path, tmp_path / "labels", tmp_path / "photos")
