"""What the reader of COCO's format promises: what pycocotools reads, it reads alike; what is wrong, it
names.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import toolkit
from toolkit import registry
from toolkit.config import resolve
from toolkit.data.dataset import Dataset, open_dataset, unread
from toolkit.data.faults import gathering
from toolkit.errors import DataError, MissingSplitError, UsageError
from toolkit.formats.coco import decode_counts
from toolkit.training.splits import open_splits
from toolkit.types import Masks

HEIGHT, WIDTH = 20, 30
SQUARE = [[2, 3, 9, 3, 9, 8, 2, 8]]


def coco(folder: Path, split: str = "val", **options: Any) -> Dataset:
    return open_dataset(registry.datasets().get("coco"), folder, split, options)


def annotation(key: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": key,
        "image_id": 7,
        "category_id": 3,
        "segmentation": SQUARE,
        "bbox": [2, 3, 7, 5],
        "area": 35,
        "iscrowd": 0,
    } | fields


def document(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 900, "file_name": "sub/b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": list(annotations),
    }


def put(folder: Path, data: Any, name: str = "annotations/instances_val.json", images: str = "val") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    for file in ("a.png", "sub/b.png"):
        (folder / images / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / images / file), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return path


def random_annotations(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Objects of all kinds, in both images: polygons with several parts, both run lengths, crowds."""
    found = []
    for key in range(20):
        mask = np.asfortranarray(rng.random((HEIGHT, WIDTH)) < rng.choice([0.02, 0.5, 0.98]), np.uint8)
        mask[5, 6] = 1
        code = coco_mask.encode(mask)
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.ravel("F"), [2]]))))
        segmentation: Any = [
            rng.uniform(-2, 25, 2 * rng.integers(3, 9)).tolist() for _ in range(rng.integers(1, 4))
        ]
        if key % 3 == 1:
            segmentation = {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}
        elif key % 3 == 2:
            segmentation = {"size": [HEIGHT, WIDTH], "counts": [0] * int(mask[0, 0]) + runs.tolist()}
        fields = {
            "segmentation": segmentation,
            "image_id": int(rng.choice([7, 900])),
            "category_id": int(rng.choice([3, 90])),
        }
        found.append(
            annotation(
                key * 11, **fields, iscrowd=int(key % 5 == 1), bbox=[1.5, 2.25, float(rng.uniform(1, 9)), 4]
            )
        )
    return found


@pytest.mark.parametrize("seed", range(8))
def test_reads_what_pycocotools_reads(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, document(*random_annotations(np.random.default_rng(seed))))
    dataset, reference = coco(tmp_path), COCO(str(path))
    assert dataset.classes == ("cat", "dog")
    assert dataset.ids == ("a", "sub/b")
    for index, image_id in enumerate((7, 900)):
        truth = reference.loadAnns(reference.getAnnIds(imgIds=image_id))
        instances = dataset[index].instances
        assert instances is not None
        assert instances.masks is not None
        assert instances.labels.tolist() == [{3: 0, 90: 1}[t["category_id"]] for t in truth]
        crowds = [False] * len(truth) if instances.is_crowd is None else instances.is_crowd.tolist()
        assert crowds == [bool(t["iscrowd"]) for t in truth]
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (t["bbox"] for t in truth)]
        np.testing.assert_allclose(instances.boxes_xyxy.numpy(), np.array(boxes).reshape(-1, 4), rtol=1e-6)
        for mask, record in zip(instances.masks.dense().numpy(), truth, strict=True):
            assert np.array_equal(mask, reference.annToMask(record).astype(bool))


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_run_lengths_of_any_bytes_are_decoded_or_refused(counts: bytes) -> None:
    lengths = decode_counts(counts)
    values, position, value, shift = [], 0, 0, 0
    for byte in counts:  # the rule, digit by digit
        digit = byte - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            values.append(value + (values[position - 2] if position > 2 else 0))
            position, value, shift = position + 1, 0, 0
            if shift > 60:
                break
    assert lengths.tolist() in (values, [-1])
    if shift or not counts:
        assert lengths.tolist() == [-1]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(1, 70), st.floats(0, 1))
def test_run_lengths_of_masks(seed: int, height: int, width: int, density: float) -> None:
    mask = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < density, np.uint8)
    lengths = decode_counts(coco_mask.encode(mask)["counts"])
    assert np.array_equal(np.repeat(np.arange(len(lengths)) % 2, lengths), mask.ravel("F"))


def test_images_without_objects_and_boxes_without_masks(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(1, segmentation=[]), annotation(2, segmentation=None)))
    dataset = coco(tmp_path)
    assert dataset[0].instances.masks is None
    assert len(dataset[0].instances) == 2
    assert len(dataset[1].instances) == 0
    put(tmp_path, document())
    assert [len(coco(tmp_path)[i].instances) for i in range(2)] == [0, 0]


def test_boxes_are_cut_off_at_the_border_or_taken_from_the_mask(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(1, bbox=[-5, 3, 20, 30.5]), annotation(2, bbox=None)))
    with pytest.raises(DataError, match=r"annotation 1 of .* reaches 33.5, outside the image of 30 x 20"):
        coco(tmp_path)[0]
    cut = coco(tmp_path, outside="clip")[0].instances
    assert cut.boxes_xyxy.tolist() == [[0, 3, 15, 20], [2, 3, 9, 8]]


def test_what_coco_needs_to_be_measured_by_is_kept(tmp_path: Path) -> None:
    data = document(
        annotation(1, area=12.25), annotation(2, area=None), annotation(3, image_id=900, area=None)
    )
    put(tmp_path, data)
    dataset = coco(tmp_path)
    assert dataset.coco_image_ids == {"a": 7, "sub/b": 900}
    assert dataset.coco_category_ids == (3, 90)
    known = dataset.coco_document()
    assert known is not None
    assert known["categories"] == data["categories"]
    for mine, written in zip(known["annotations"], data["annotations"], strict=True):
        assert mine == {"iscrowd": 0, **written, "bbox": mine["bbox"], "area": written["area"] or 35}
    assert dataset[0].instances.areas.tolist() == [12.25, 35]
    assert dataset[1].instances.areas is None
    data["images"][0]["id"] = "seven"
    data["annotations"] = []
    put(tmp_path, data)
    assert coco(tmp_path).coco_image_ids is None


def test_a_tiny_object_with_a_box_stays(tmp_path: Path) -> None:
    put(
        tmp_path,
        document(annotation(1, segmentation=[[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]], bbox=[3.1, 3.1, 0.1, 0.1])),
    )
    instances = coco(tmp_path)[0].instances
    assert instances.masks.areas().tolist() == [0]
    assert len(instances) == 1


def test_keypoints(tmp_path: Path) -> None:
    data = document(
        annotation(1, keypoints=[1, 2, 2, 3.5, 4, 1]), annotation(2), annotation(3, category_id=90)
    )
    data["categories"][1]["keypoints"] = ["nose", "tail"]
    put(tmp_path, data)
    dataset = coco(tmp_path)
    assert dataset.keypoint_names == ("nose", "tail")  # type: ignore[attr-defined]
    assert dataset[0].instances.keypoints.tolist() == [
        [[1.5, 2.5, 2], [4, 4.5, 1]],
        [[0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    data["annotations"][0]["keypoints"] = [1, 2, 2, 3.5, 44, 1]
    put(tmp_path, data)
    with pytest.raises(DataError, match=r"annotation 1 of .* reaches 44, outside the image of 30 x 20"):
        coco(tmp_path)[0]
    data["annotations"][0]["keypoints"] = [1, 2, 2, 3]
    put(tmp_path, data)
    with pytest.raises(DataError, match=r"annotation 1 .*: keypoints: 4 numbers are not x, y and visibility"):
        coco(tmp_path)[0]


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ((["nose"], ["nose", "left ear", "right ear"]), True),
        ((["nose", "right ear"], ["nose", "left ear", "right ear"]), False),
        (([1, 2, 3], None), False),
        ((None, []), True),
    ],
)
def test_names_of_keypoints_count_where_all_categories_agree(
    tmp_path: Path, names: tuple[Any, Any], known: bool
) -> None:
    """Else a mirror image would swap the wrong ones in silence."""
    data = document(annotation(1, keypoints=[] if names[1] == [] else [1, 2, 2, 3, 4, 1, 8, 8, 2]))
    for category, own in zip(data["categories"], names, strict=True):
        category["keypoints"] = own
    put(tmp_path, data)
    dataset = coco(tmp_path)
    longest = max((tuple(each) for each in names if each), key=len, default=())
    assert dataset.keypoint_names == (longest if known else ())
    assert dataset[0].instances.keypoints is None or dataset[0].instances.keypoints.shape == (1, 3, 3)


def _change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            data = data[part]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "annotations.1.image_id",
            8,
            "annotation 12 has the image_id 8, which is not one of the file's 2 images",
        ),
        ("annotations.1.image_id", [7], r"annotation 12 has the image_id \[7\], which is not one"),
        (
            "annotations.1.category_id",
            4,
            "annotation 12 has the category_id 4, which is not one of the file's 2 categories",
        ),
        ("annotations.1.category_id", None, "annotation 12 has the category_id None"),
        ("annotations.1.id", 11, "the id 11 occurs twice among the annotations"),
        ("annotations.1", 3, r"annotations\[1\] is not a record"),
        ("images.1.id", 7, "the id 7 occurs twice among the images: 0 and 1"),
        ("images.1.file_name", None, r"image 1 \(id 900\): file_name: should be a valid string, not None"),
        ("images.1.file_name", "a.png", "two images with the file_name 'a.png'"),
        ("categories.1.id", 90, "the id 90 occurs twice among the categories: 0 and 1"),
        ("categories.1.name", "dog", "two categories called 'dog'"),
        ("categories.1.id", "3", "both numbers and text as category ids"),
        ("annotations", None, "not a COCO annotation file"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, path: str, value: Any, message: str) -> None:
    data = document(annotation(11), annotation(12))
    put(tmp_path, data)
    coco(tmp_path)
    _change(path, value)(data)
    file = put(tmp_path, data)
    with pytest.raises(DataError, match=message) as caught:
        coco(tmp_path)
    assert str(file) in str(caught.value)


RLE = {"size": [HEIGHT, WIDTH], "counts": [100, 20, 480]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bbox": [1, 2, 3]}, "bbox: expected at least 4 items, not"),
        ({"bbox": [1, 2, float("nan"), 4]}, r"bbox\[2\]: should be a finite number, not nan"),
        ({"bbox": "1,2,3,4"}, "bbox: should be a valid list, not '1,2,3,4'"),
        (
            {"segmentation": [[2, 3, 9, float("nan"), 9, 8]]},
            r"segmentation\[0\]\[3\]: should be a finite number, not nan",
        ),
        ({"segmentation": [[2, 3, 9, 3, 9, 8, 2]]}, "a polygon has 7 numbers"),
        ({"segmentation": [[2, 3, 900, 3, 9, 8]]}, "reaches 900, outside the image of 30 x 20"),
        (
            {"segmentation": "mask.png"},
            "segmentation: must be a list of polygons, or an object with size and counts, not 'mask.png'",
        ),
        (
            {"segmentation": RLE | {"size": [WIDTH, HEIGHT]}},
            r"the run lengths are of size \[30, 20\], but the image has \[20, 30\]",
        ),
        (
            {"segmentation": RLE | {"counts": [100, 20, 400]}},
            "the run lengths cover 520 pixels, but the image has 600",
        ),
        (
            {"segmentation": RLE | {"counts": [100, -20, 520]}},
            r"segmentation.counts\[1\]: should be greater than or equal to 0, not -20",
        ),
        (
            {"segmentation": RLE | {"counts": [100.5, 19.5, 480]}},
            r"segmentation.counts\[0\]: should be a valid integer, not 100.5",
        ),
        ({"segmentation": RLE | {"counts": "zz"}}, "the run lengths cover"),
        ({"segmentation": RLE | {"counts": ""}}, "the run lengths cover"),
        ({"segmentation": RLE | {"counts": None}}, "segmentation.counts: "),
        ({"segmentation": None, "bbox": None}, "neither a segmentation nor a bbox"),
        ({"iscrowd": 2}, "iscrowd: should be 0 or 1, not 2"),
        ({"area": -3}, "area: should be greater than or equal to 0, not -3"),
        ({"area": float("inf")}, "area: should be a finite number, not inf"),
        ({"segmentation": None}, "has no mask, but other objects of the image have one"),
    ],
)
def test_faults_of_an_annotation(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    file = put(tmp_path, document(annotation(11), annotation(12, **fields), annotation(13, image_id=900)))
    dataset = coco(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        dataset[0]
    assert str(caught.value).startswith(f"{file}: annotation 12 of image 7 (a.png)")
    assert len(dataset[1].instances) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bbox": [1, 2, 0, 4]}, r"bbox \[1.0, 2.0, 0.0, 4.0\] has a width or height of 0 or less"),
        ({"bbox": [40, 2, 5, 4]}, "lies outside the image of 30 x 20 pixels"),
        ({"segmentation": [[2, 3, 9, 3]]}, "a polygon with 2 points encloses no area"),
        ({"segmentation": [[2, 3, 4, 5, 9, 10, 3, 4]]}, "a polygon with 4 points encloses no area"),
        ({"segmentation": RLE | {"counts": [600]}, "bbox": None}, "covers no pixel"),
    ],
)
def test_objects_without_an_area(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    put(tmp_path, document(annotation(11), annotation(12, **fields)))
    with pytest.raises(DataError, match=rf"annotation 12 of .*{message}.*degenerate=skip"):
        coco(tmp_path)[0]
    assert len(coco(tmp_path, degenerate="skip")[0].instances) == 1


def test_a_part_without_an_area_is_left_out_of_its_object(tmp_path: Path) -> None:
    put(tmp_path, document(annotation(11, segmentation=[*SQUARE, [1, 1, 2, 2]])))
    assert coco(tmp_path, degenerate="skip")[0].instances.masks.areas().tolist() == [35]


def test_an_image_of_another_size(tmp_path: Path) -> None:
    data = document(annotation(11))
    data["images"][0]["height"] = 21
    put(tmp_path, data)
    with pytest.raises(
        DataError, match=r"image 7 \(a.png\) should have 30 x 21 pixels, but the file has 30 x 20"
    ):
        coco(tmp_path)[0]


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


def test_ids_from_other_programs(tmp_path: Path) -> None:
    """Whole numbers that were written as fractions, and ids from 0."""
    data = document(annotation(0.0, image_id=0.0, category_id=0.0), annotation(1, image_id=0, category_id=0))
    data["images"][0]["id"], data["images"][1]["id"] = 0, 1.0
    data["categories"][1]["id"] = 0
    put(tmp_path, data)
    dataset = coco(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset[0].instances.labels.tolist() == [0, 0]
    assert dataset.coco_image_ids == {"a": 0, "sub/b": 1}


@pytest.mark.parametrize("value", [[{}], {}, [7], True, 1.5, 10**400])
@pytest.mark.parametrize("field", ["id", "image_id", "category_id"])
def test_ids_that_are_none(tmp_path: Path, field: str, value: Any) -> None:
    put(tmp_path, document(annotation(11), annotation(12) | {field: value}))
    with pytest.raises(DataError, match=rf"annotation.* has the {'id' if field == 'id' else field} "):
        coco(tmp_path)[0]


def test_what_is_of_a_faulty_image_is_no_fault_of_its_own(tmp_path: Path) -> None:
    data = document(annotation(11), annotation(12, image_id=900), annotation(13, category_id=90))
    data["images"][0]["width"] = "30"
    data["categories"][0]["name"] = ["dog"]
    put(tmp_path, data)
    with gathering() as faults:
        assert coco(tmp_path).ids == ("sub/b",)
    assert len(faults) == 2
    assert "category 0 (id 90): name: should be a valid string" in faults[0]
    assert "image 0 (id 7): width: should be a valid integer, not '30'" in faults[1]


def test_turned_boxes(tmp_path: Path) -> None:
    """As CVAT writes them: 16 x 6 about (12, 10), by a quarter and by 30 degrees."""
    angles = [{"attributes": {"rotation": angle, "occluded": False}} for angle in (90.0, 30.0, 0.0)]
    box = {"segmentation": [], "bbox": [4, 7, 16, 6]}
    put(tmp_path, document(*(annotation(i, **box, **angle) for i, angle in enumerate(angles))))
    instances = coco(tmp_path)[0].instances
    assert instances.masks is None
    half = (8 * math.cos(math.pi / 6) + 3 / 2, 4 + 3 * math.cos(math.pi / 6))
    expected = [
        [9, 2, 15, 18],
        [12 - half[0], 10 - half[1], 12 + half[0], 10 + half[1]],
        [4, 7, 20, 13],
    ]
    np.testing.assert_allclose(instances.boxes_xyxy.numpy(), expected, rtol=1e-5)
    assert coco(tmp_path).coco_document() is None, "figures come from the samples"


def test_turned_boxes_with_a_segmentation(tmp_path: Path) -> None:
    turn = {"bbox": [4, 7, 16, 6], "attributes": {"rotation": 90}}
    upright = annotation(1, segmentation=[[4, 7, 20, 7, 20, 13, 4, 13]], **turn)
    outlined = annotation(2, segmentation=[[9, 3, 15, 3, 15, 17, 9, 17]], **turn)
    put(tmp_path, document(upright, outlined))
    assert coco(tmp_path)[0].instances.boxes_xyxy.tolist() == [[9, 2, 15, 18], [9, 3, 15, 17]]
    put(tmp_path, document(annotation(1, rotation=20)))
    with pytest.raises(DataError, match=r"annotation 1 .* has rotation 20, but only CVAT's attributes"):
        coco(tmp_path)[0]


def test_the_file_itself_is_measured_by_the_same_rules(tmp_path: Path) -> None:
    """What reading the samples refuses, measuring a list of results against the file refuses, too."""
    put(tmp_path, document(annotation(1, segmentation=[[2, 3, 45, 3, 45, 8, 2, 8]])))
    with pytest.raises(DataError, match=r"reaches 45, outside the image of 30 x 20"):
        coco(tmp_path).coco_document()
    assert coco(tmp_path, outside="clip").coco_document() is None
    put(tmp_path, document(annotation(1)))
    assert coco(tmp_path).coco_document() is not None
