"""Labels of datasets that are taken over to be corrected: the same masks, categories and splits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serve_cases import SIZE, dense, half, photos, ring, rle, services_for

from toolkit import open_dataset
from toolkit.errors import DataError, UsageError
from toolkit.serve.image_folder import ImageFolder
from toolkit.serve.labels import LabelStore
from toolkit.serve.options import Limits
from toolkit.serve.taking_over import take_over

POLYGON = [[5, 5, 30, 5, 30, 25, 5, 25]]


def record(key: int, image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "image_id": image,
        "category_id": category,
        "bbox": [1, 2, 20, 10],
        "segmentation": segmentation,
        "area": 9,
        "iscrowd": 0,
    } | more


def annotated(tmp_path: Path) -> Path:
    """A dataset in COCO's format over two images for training and one for validation."""
    folder = photos(tmp_path / "photos", 5)
    height, width = SIZE
    own = {
        "train": [
            record(1, 1, 7, POLYGON),
            record(2, 1, 9, rle(ring(SIZE))),
            record(3, 2, 9, rle(half(SIZE)), iscrowd=1),
        ],
        "val": [record(1, 3, 9, rle(half(SIZE)))],
    }
    for split, numbers in (("train", (1, 2)), ("val", (3,))):
        images = [
            {"id": number, "file_name": f"{number:02}.png", "height": height, "width": width}
            for number in numbers
        ]
        categories = [{"id": 7, "name": "cup"}, {"id": 9, "name": "  lid "}]
        document = {"images": images, "annotations": own[split], "categories": categories}
        path = folder / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))
    return folder


def store_of(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels", ImageFolder(tmp_path / "photos", Limits()))


def test_masks_categories_and_splits_are_the_same(tmp_path: Path) -> None:
    folder = annotated(tmp_path)
    store = store_of(tmp_path)
    taken = take_over(store, "coco", folder)
    assert str(taken) == "3 images with 3 objects; not taken: 1 crowd or objects without masks"
    assert store.labeled() == {"01.png", "02.png", "03.png"}
    assert store.get("02.png")["objects"] == [], "done, but its only object is a crowd"
    for split in ("train", "val"):
        theirs, ours = (open_dataset("coco", path, split) for path in (folder, tmp_path / "labels"))
        assert [Path(name).name for name in ours.ids] == [Path(name).name for name in theirs.ids]
        assert ours.classes == ("cup", "lid")
    first = open_dataset("coco", folder, "train")[0].instances
    assert first is not None
    assert first.masks is not None
    found = [dense(each["rle"]) for each in store.get("01.png")["objects"]]
    assert (np.stack(found) == first.masks.dense().numpy()).all()
    assert [each["category"] for each in store.get("01.png")["objects"]] == ["cup", "lid"]
    assert (folder / "annotations" / "instances_train.json").exists(), "the dataset stays"


def test_what_was_labeled_before_stays(tmp_path: Path) -> None:
    folder = annotated(tmp_path)
    store = store_of(tmp_path)
    store.put("01.png", [{"category": "mine", "rle": rle(half(SIZE))}], None)
    assert take_over(store, "coco", folder).before == 1
    (kept,) = store.get("01.png")["objects"]
    assert kept["category"] == "mine"
    again = take_over(store, "coco", folder)
    assert str(again) == "0 images with 0 objects; not taken: 3 images labeled before"


def test_images_elsewhere_are_counted_or_refused(tmp_path: Path) -> None:
    folder = annotated(tmp_path)
    other = shutil.copytree(folder, tmp_path / "other")
    with pytest.raises(UsageError, match=r"none of the 3 images of .*other is in .*photos. Hint: give their"):
        take_over(store_of(tmp_path), "coco", other)
    assert not (tmp_path / "labels" / "annotations").exists()
    (tmp_path / "some").mkdir()
    (folder / "01.png").rename(tmp_path / "some" / "01.png")
    (folder / "01.png").symlink_to(tmp_path / "some" / "01.png")
    assert take_over(store_of(tmp_path), "coco", folder).elsewhere == 1, "a link that leads out of the folder"


def test_other_datasets_and_missing_ones(tmp_path: Path) -> None:
    annotated(tmp_path)
    with pytest.raises(UsageError, match="the dataset camvid has no objects"):
        take_over(store_of(tmp_path), "camvid", tmp_path)
    with pytest.raises(DataError, match="no annotations of the split"):
        take_over(store_of(tmp_path), "coco", tmp_path)
    with pytest.raises(UsageError, match="--import needs the images"):
        services_for(take_over=("coco", "x"))


def test_the_server_takes_over_before_it_starts(tmp_path: Path) -> None:
    folder = annotated(tmp_path)
    labels = services_for(tmp_path, take_over=("coco", str(folder))).labels
    assert labels is not None
    assert labels.folder == tmp_path / "photos-labels"
    assert labels.labeled() == {"01.png", "02.png", "03.png"}
    with pytest.raises(UsageError, match=r"add --import coco .*photos"):
        services_for(tmp_path, labels=folder)
