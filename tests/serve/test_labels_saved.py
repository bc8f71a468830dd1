"""The store of labels: what is saved is what was given, whole at any time, and a dataset."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serve_cases import SIZE, half, photos, picture, ring, rle
from support.kills import changes_of, killed_at, points, to_the_end

from toolkit import registry
from toolkit.data.dataset import open_dataset
from toolkit.errors import DataError, MissingSplitError, OutputError, UsageError
from toolkit.serve.errors import RequestError
from toolkit.serve.image_folder import ImageFolder
from toolkit.serve.label_file import LabelDocument
from toolkit.serve.labels import LabelStore
from toolkit.serve.options import Limits

KILLS = 50


def store_of(folder: Path, labels: str = "photos-labels") -> LabelStore:
    if not (folder / "photos").exists():
        photos(folder / "photos")
    return LabelStore(folder / labels, ImageFolder(folder / "photos", Limits()))


def given(*named: tuple[str, np.ndarray[Any, Any]]) -> list[dict[str, Any]]:
    return [{"category": name, "rle": rle(mask)} for name, mask in named]


def test_objects_come_back_with_their_ids_and_holes(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    assert store.get("00.png") == {"revision": "unlabeled", "objects": []}
    saved = store.put("00.png", given(("cup", ring(SIZE)), ("lid", half(SIZE))), None)
    assert saved == store.get("00.png") == store_of(tmp_path).get("00.png")
    assert [each["id"] for each in saved["objects"]] == [1, 2]
    assert [each["rle"] for each in saved["objects"]] == [rle(ring(SIZE)), rle(half(SIZE))]
    assert store.labeled() == {"00.png"}
    # one is kept, one is gone, one is new
    again = store.put("00.png", [saved["objects"][1], *given(("cup", half(SIZE)))], saved["revision"])
    assert [(each["id"], each["category"]) for each in again["objects"]] == [(2, "lid"), (3, "cup")]


def test_an_outdated_revision_changes_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    first = store.put("00.png", given(("cup", half(SIZE))), "unlabeled")
    for outdated in ("unlabeled", "nonsense", ""):
        with pytest.raises(RequestError, match="GET them again") as caught:
            store.put("00.png", [], outdated)
        assert caught.value.status_code == 409
    assert store.get("00.png") == first
    assert store.put("00.png", [], first["revision"])["objects"] == []


def test_two_clients_at_once_do_not_overwrite_each_other(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    won: list[str] = []
    lost: list[int] = []

    def save(name: str) -> None:
        try:
            store.put("00.png", given((name, half(SIZE))), "unlabeled")
            won.append(name)
        except RequestError as error:
            lost.append(error.status_code)

    threads = [threading.Thread(target=save, args=(f"client {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), lost) == (1, [409] * 7)
    assert [each["category"] for each in store.get("00.png")["objects"]] == won


def test_the_dataset_coco_reads_it_with_masks_bit_equal(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    names = list(store.images.names())
    for place, name in enumerate(names):
        store.put(name, given(("cup", ring(SIZE)), ("lid", half(SIZE)))[: place % 3], None)
    manifest = registry.datasets().get("coco")
    train, val = (open_dataset(manifest, store.folder, split) for split in ("train", "val"))
    assert train.classes == val.classes == ("cup", "lid")
    assert (len(train), len(val)) == (6, 1), "every fifth is for validation"
    assert list(val.ids) == ["photos/04"], "no .. leads out of results"
    for sample in (*train, *val):
        place = int(sample.id[-2:])
        assert (sample.image.permute(1, 2, 0).numpy() == picture(place)).all()
        assert sample.instances is not None
        assert sample.instances.masks is not None
        expected = [ring(SIZE), half(SIZE)][: place % 3]
        assert (sample.instances.masks.dense().numpy() == np.array(expected).reshape(-1, *SIZE)).all()
    with pytest.raises(MissingSplitError, match="no images of the split 'test'"):
        open_dataset(manifest, store.folder, "test")


def test_an_image_stays_in_its_split(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for name in store.images.names():
        store.put(name, given(("cup", half(SIZE))), None)
    splits = splits_in(store.path)
    for name in store.images.names():
        store.put(name, [], None)
    store.delete("00.png", None)
    assert splits_in(store.path) == {key: split for key, split in splits.items() if "00" not in key}


def splits_in(path: Path) -> dict[str, str]:
    return {each["file_name"]: each["split"] for each in json.loads(path.read_text())["images"]}


def test_both_folders_can_be_moved_together(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    store_of(tmp_path / "before").put("sub/06.png", given(("cup", ring(SIZE))), None)
    (tmp_path / "before").rename(tmp_path / "after")
    assert store_of(tmp_path / "after").get("sub/06.png")["objects"][0]["rle"] == rle(ring(SIZE))
    assert (
        len(open_dataset(registry.datasets().get("coco"), tmp_path / "after" / "photos-labels", "train")) == 1
    )


@pytest.mark.parametrize("labels", ["photos", "photos/labels", "elsewhere/deep/labels"])
def test_the_labels_may_be_in_any_folder(tmp_path: Path, labels: str) -> None:
    store = store_of(tmp_path, labels)
    store.put("sub/06.png", given(("cup", ring(SIZE))), None)
    assert store_of(tmp_path, labels).labeled() == {"sub/06.png"}
    (sample,) = open_dataset(registry.datasets().get("coco"), store.folder, "train")
    assert (sample.image.permute(1, 2, 0).numpy() == picture(6)).all()


def test_categories_are_added_renamed_and_removed(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.put("00.png", given(("cup", half(SIZE))), None)
    now = store.categories()
    assert now["categories"] == [{"id": 1, "name": "cup", "objects": 1}]
    then = store.put_categories([{"id": 1, "name": " mug "}, {"name": "lid"}], now["revision"])
    assert [(each["id"], each["name"]) for each in then["categories"]] == [(1, "mug"), (2, "lid")]
    assert store.get("00.png")["objects"][0]["category"] == "mug"
    with pytest.raises(RequestError, match="have changed"):
        store.put_categories([], now["revision"])
    with pytest.raises(RequestError, match="'mug' has 1 object"):
        store.put_categories([{"id": 2, "name": "lid"}], None)
    assert store.put_categories([{"id": 1, "name": "mug"}], None)["categories"][1:] == []


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"name": ""}], "cannot be the name"),
        ([{"name": "a\x00b"}], "cannot be the name"),
        ([{"name": "x" * 300}], "cannot be the name"),
        ([{"name": "cup"}, {"name": "cup "}], "two categories are called 'cup'"),
        ([{"id": 7, "name": "cup"}], "no category with the id 7"),
    ],
)
def test_categories_that_cannot_be(tmp_path: Path, categories: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        store_of(tmp_path).put_categories(categories, None)
    assert not (tmp_path / "photos-labels").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"category": "cup", "rle": rle(half((40, 61)))}, r"objects\[0\].*size"),
        ({"category": "cup", "rle": {"size": [40, 60], "counts": "abc"}}, r"objects\[0\]"),
        ({"category": "cup", "rle": {"size": [40, 60], "counts": "\u00e9"}}, r"objects\[0\]"),
        ({"category": "cup", "rle": rle(np.zeros(SIZE, bool))}, "covers no pixel"),
        ({"category": " ", "rle": rle(half(SIZE))}, "cannot be the name"),
    ],
)
def test_objects_that_cannot_be_saved(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        store_of(tmp_path).put("00.png", [entry], None)
    assert caught.value.status_code == 422
    assert not (tmp_path / "photos-labels").exists()


def test_what_others_write_is_read_again(tmp_path: Path) -> None:
    store, other = store_of(tmp_path), store_of(tmp_path)
    other.put("00.png", given(("cup", half(SIZE))), None)
    assert store.labeled() == {"00.png"}
    store.put("01.png", given(("lid", half(SIZE))), None)
    assert other.labeled() == {"00.png", "01.png"}


def test_other_annotations_in_the_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos-labels" / "annotations" / "instances_train.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(UsageError, match=r"other annotations, annotations/instances_train.json"):
        store_of(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"images": [], "categories": [], "annotations": [7]}', "{"])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "photos-labels" / "annotations" / "instances.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError):
        store_of(tmp_path)
    assert path.read_text() == text


def test_only_one_server_writes_to_a_folder(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    with store.held(), pytest.raises(UsageError, match="another process"), store_of(tmp_path).held():
        pass


def test_what_cannot_be_saved_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path)
    before = store.put("00.png", given(("cup", ring(SIZE))), None)

    def full(*_: object) -> None:
        raise OutputError("the disk is full. Hint: free some space")

    with monkeypatch.context() as patch:
        patch.setattr(LabelDocument, "write", full)
        with pytest.raises(OutputError):
            store.put("00.png", [], None)
        with pytest.raises(OutputError):
            store.put_categories([{"id": 1, "name": "lid"}], None)
    assert store.get("00.png") == store_of(tmp_path).get("00.png") == before
    assert store.put("00.png", [], before["revision"])["objects"] == []


def test_what_a_killed_server_left_behind_is_removed(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.put("00.png", given(("cup", ring(SIZE))), None)
    part = store.path.with_name(".toolkit-0123456789ab.part")
    part.write_text("{")
    with store.held():
        assert not part.exists()
    assert store.labeled() == {"00.png"}


def test_killed_at_any_change_the_labels_are_the_old_or_the_new(tmp_path: Path, record_property: Any) -> None:
    """As ``kill -9`` does, at each of the changes to the folder that saving makes, in turn."""
    before = given(("cup", ring(SIZE)))
    after = given(("cup", half(SIZE)), ("new one", ring(SIZE)))
    folder = tmp_path / "photos-labels"

    def fresh() -> None:
        store = store_of(tmp_path)
        store.put("00.png", before, None)
        store.put("01.png", before, None)

    def change() -> None:
        store_of(tmp_path).put("00.png", after, None)

    to_the_end(fresh)
    kept = shutil.copytree(folder, tmp_path / "kept")
    count = changes_of(folder, change)
    assert count >= 4
    kills = new = 0
    rounds = KILLS // len(points(count, KILLS)) + 1
    for point in [*points(count, KILLS)] * rounds:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        kills += killed_at(point, folder, change)
        store = store_of(tmp_path)
        found = [(each["category"], each["rle"]) for each in store.get("00.png")["objects"]]
        assert found in (pairs(before), pairs(after))
        new += found == pairs(after)
        assert pairs(store.get("01.png")["objects"]) == pairs(before), "the other image is as it was"
        dataset = open_dataset(registry.datasets().get("coco"), folder, "train")
        assert [len(sample.instances or ()) for sample in dataset] == [len(found), 1]
    assert kills >= KILLS
    assert 0 < new < kills, "killed before and after the file was replaced"
    record_property("kills", kills)


def pairs(objects: Sequence[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(each["category"], each["rle"]) for each in objects]
