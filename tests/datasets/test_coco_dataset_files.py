"""Where the files and images of COCO's format are found."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from coco_dataset_cases import HEIGHT, SQUARE, WIDTH, annotation, coco, document, put

import toolkit
from toolkit import registry
from toolkit.config import resolve
from toolkit.data.dataset import unread
from toolkit.errors import DataError, MissingSplitError, UsageError
from toolkit.training.splits import open_splits
from toolkit.types import Masks


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances_val.json", "images/val"),
        ("annotations/val.json", "images"),
        ("val/_annotations.coco.json", "val"),
        ("val.json", "."),
    ],
)
def test_usual_layouts_are_found(tmp_path: Path, name: str, images: str) -> None:
    put(tmp_path, document(annotation(11)), name, images)
    assert len(coco(tmp_path)[0].instances) == 1
    with pytest.raises(MissingSplitError, match="no annotations of the split 'train'.*Hint: set train=FILE"):
        coco(tmp_path, "train")


def with_splits(**splits: str) -> dict[str, Any]:
    """The small file, with the split of each image where one is given."""
    data = document(annotation(11), annotation(12, image_id=900, category_id=90))
    for image in data["images"]:
        if image["file_name"][0] in ("a", "s") and (split := splits.get(image["file_name"][0])):
            image["split"] = split
    return data


def test_one_file_may_have_all_splits(tmp_path: Path) -> None:
    path = put(tmp_path, with_splits(a="train", s="val"), "annotations/instances.json", "images")
    train, val = coco(tmp_path, "train"), coco(tmp_path)
    assert train.classes == val.classes == ("cat", "dog"), "those of the whole file"
    assert (train.ids, val.ids) == (("a",), ("sub/b",))
    assert [len(each[0].instances or ()) for each in (train, val)] == [1, 1]
    assert coco(path, "val").ids == ("sub/b",), "the file itself, too"
    with pytest.raises(MissingSplitError, match="no images of the split 'test'"):
        coco(tmp_path, "test")
    settings = resolve(plugin="maskrcnn", data="coco", overrides={"data.dir": str(tmp_path)})
    splits = open_splits(settings, registry.task_of(registry.plugins().get("maskrcnn")))
    assert splits.val is not None
    assert unread(registry.datasets().get("coco"), tmp_path, None) == []


def test_without_images_for_validation_one_trains_without(tmp_path: Path) -> None:
    put(tmp_path, with_splits(a="train"), "annotations/instances.json", "images")
    settings = resolve(plugin="maskrcnn", data="coco", overrides={"data.dir": str(tmp_path)})
    splits = open_splits(settings, registry.task_of(registry.plugins().get("maskrcnn")))
    assert (len(splits.train), splits.val) == (2, None)


def test_a_file_of_all_splits_that_states_none_is_used_for_none(tmp_path: Path) -> None:
    """Or the same images would be for training and for validation."""
    path = put(tmp_path, document(annotation(11)), "annotations/instances.json", "images")
    with pytest.raises(MissingSplitError, match="does not say which split.*Hint: set train=FILE"):
        coco(tmp_path, "train")
    assert len(coco(path, "train")) == len(coco(path, "val")) == 2, "unless it is given by itself"
    assert len(coco(tmp_path, "val", val="annotations/instances.json")) == 2


def test_other_names_are_settings(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11)), "result.json", "photos/val")
    assert len(coco(tmp_path, val="result.json", images="photos/{split}")[0].instances) == 1
    with pytest.raises(DataError, match="names the image a.png, which is in none of .*nowhere"):
        coco(tmp_path, val="result.json", images="nowhere")
    with pytest.raises(DataError, match="absent.json does not exist"):
        coco(tmp_path, val="absent.json")


def test_what_cannot_be_decided_is_asked(tmp_path: Path) -> None:
    put(tmp_path, document(), "annotations/instances_val2014.json")
    put(tmp_path, document(), "annotations/instances_val2017.json")
    with pytest.raises(
        DataError,
        match=(
            r"more than one annotation file .*instances_val2014.json, .*instances_val2017.json. Hint: set"
            r" val=FILE"
        ),
    ):
        coco(tmp_path)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11)))
    (tmp_path / "val" / "sub" / "b.png").unlink()
    with pytest.raises(DataError, match=r"names the image sub/b.png, which is in none of .*val"):
        coco(tmp_path)[1]


def test_a_file_by_itself_is_the_dataset(tmp_path: Path) -> None:
    file = put(tmp_path, document(annotation(1)))
    whole, alone = coco(tmp_path), coco(file)
    assert alone.ids == whole.ids
    assert alone[0].instances is not None
    assert whole[0].instances is not None
    assert alone[0].instances.masks == whole[0].instances.masks
    other = put(tmp_path / "flat", document(annotation(1)), "result.json", "images")
    assert len(coco(other, "test")) == 2, "a name that says nothing is of any split"
    with pytest.raises(MissingSplitError, match="is named after the split 'val', so it has no 'train'"):
        coco(file, "train")
    with pytest.raises(DataError, match="needs a folder of files"):
        coco(tmp_path / "none.json")


def test_one_file_does_not_train_and_validate_at_once(tmp_path: Path) -> None:
    file = put(tmp_path, document(annotation(1)), "result.json", "images")
    settings = resolve(plugin="maskrcnn", data="coco", overrides={"data.dir": str(file)})
    task = registry.tasks().get("instance")
    with pytest.raises(
        UsageError, match="is one file, which cannot be used for both training and validation"
    ):
        open_splits(settings, task)
    alone = resolve(plugin="maskrcnn", data="coco", overrides={"data.dir": str(file), "data.val_split": ""})
    assert open_splits(alone, task).val is None


def test_images_are_looked_for_when_they_are_wanted(tmp_path: Path) -> None:
    """A list of results is measured without any image; whatever reads images says at once that there are
    none.
    """
    file = put(tmp_path, document(annotation(1)))
    shutil.rmtree(tmp_path / "val")
    results = tmp_path / "results.json"
    entry = {"image_id": 7, "category_id": 3, "score": 0.9, "bbox": [2, 3, 7, 5]}
    code = Masks.from_polygons([SQUARE], (HEIGHT, WIDTH)).to_coco()[0]
    entry["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
    results.write_text(json.dumps([entry]))
    for data_dir in (tmp_path, file):
        reports = toolkit.evaluate(predictions=results, data="coco", data_dir=data_dir)
        assert reports.metrics["segm/AP"] == pytest.approx(1.0)
    for chosen in ({"evaluators.iou": {}}, {"evaluators.iou": {}, "evaluators.coco": {}}):
        with pytest.raises(DataError, match=r"names the image a\.png, which is in none of"):
            toolkit.evaluate(predictions=results, data="coco", data_dir=tmp_path, settings=chosen)
    with pytest.raises(DataError, match=r"names the image a\.png, which is in none of"):
        coco(tmp_path)


def test_a_set_without_an_ordinary_object_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toolkit")
    put(tmp_path, document(annotation(1), annotation(2, iscrowd=1)))
    coco(tmp_path)
    assert not caplog.records
    for records in ([], [annotation(2, iscrowd=1)]):
        caplog.clear()
        put(tmp_path, document(*records))
        coco(tmp_path, degenerate="skip")
        assert "instances_val.json has no objects other than crowds" in caplog.text
        assert "objects without an area are left out (degenerate=skip)" in caplog.text


def moved(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """The same document with other file names."""
    for image, name in zip(data["images"], names, strict=True):
        image["file_name"] = name
    return data


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "sub\\b.png"),
        ("./a.png", "sub/../sub/b.png"),
        ("%61.png", "sub%2Fb.png"),
        ("C:\\data\\val\\a.png", "C:\\data\\val\\sub\\b.png"),
        ("/mnt/set/a.png", "/mnt/set/sub/b.png"),
        ("http://localhost:8080/data/upload/3/a.png", "http://localhost:8080/data/upload/3/b.png"),
        ("/data/local-files/?d=val/a.png", "/data/local-files/?d=val/sub/b.png"),
    ],
)
def test_names_of_images_from_elsewhere(tmp_path: Path, names: tuple[str, str]) -> None:
    put(tmp_path, moved(document(annotation(11)), *names))
    dataset = coco(tmp_path)
    found = [str(tmp_path / "val" / "a.png"), str(tmp_path / "val" / "sub" / "b.png")]
    assert [str(Path(dataset[i].path or "").resolve()) for i in range(2)] == found
    assert len(set(dataset.ids)) == 2
    assert not any(Path(one).is_absolute() for one in dataset.ids)


def test_images_of_another_split_are_not_taken(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11)), images="train")
    with pytest.raises(DataError, match=r"names the image a\.png, which is in none of"):
        coco(tmp_path)
    put(tmp_path, moved(document(annotation(11)), "/old/a.png", "/old/b.png"), images="train2017")
    with pytest.raises(DataError, match=r"names the image /old/a\.png, which is in none of"):
        coco(tmp_path)


def test_braces_in_the_name_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11)), "val.json", "{0}{x}/val")
    assert len(coco(tmp_path, images="{0}{x}/{split}")[0].instances) == 1


def test_what_is_no_data_is_no_annotation_file(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11)), "val/_annotations.coco.json", "val")
    put(tmp_path, document(), "__MACOSX/_annotations.coco.json", "val")
    (tmp_path / "val" / "._annotations.coco.json").write_bytes(b"\0\5")
    put(tmp_path, document(), "spare/_annotations.coco.json", "val")
    assert len(coco(tmp_path)) == 2
    left = unread(registry.datasets().get("coco"), tmp_path)
    assert left == ["spare/_annotations.coco.json"]
