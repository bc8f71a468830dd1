"""COCO truth gives the same figures from the file itself as from its samples, whatever fields are left
out.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from toolkit.errors import DataError
from toolkit.evaluation.runs import evaluate_predictions
from toolkit.formats.coco_truth import complete_truth

SIZE = (40, 60)
Change = Callable[[dict[str, Any]], None]


def square(x: int, y: int, side: int) -> list[float]:
    return [float(v) for v in (x, y, x + side, y, x + side, y + side, x, y + side)]


def document() -> dict[str, Any]:
    """Two images, three classes, a crowd as run lengths; every field is there."""
    crowd = np.zeros(SIZE, np.uint8, order="F")
    crowd[20:38, 2:20] = 1
    code = coco_mask.encode(crowd)
    rle = {"size": list(SIZE), "counts": code["counts"].decode()}
    entries = [
        (1, 1, [5, 5, 10, 10], [square(5, 5, 10)], 0),
        (1, 2, [30, 10, 20, 20], [square(30, 10, 20)], 0),
        (1, 1, [2, 20, 18, 18], rle, 1),
        (2, 3, [10, 10, 12, 12], [square(10, 10, 12)], 0),
    ]
    annotations = [
        {
            "id": i,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "segmentation": mask,
            "iscrowd": is_crowd,
        }
        | {"area": float(box[2] * box[3])}
        for i, (image, category, box, mask, is_crowd) in enumerate(entries, start=1)
    ]
    images = [{"id": i, "file_name": f"{i}.png", "width": SIZE[1], "height": SIZE[0]} for i in (1, 2)]
    return {
        "images": images,
        "categories": [{"id": i, "name": f"class {i}"} for i in (1, 2, 3)],
        "annotations": annotations,
    }


def results(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Each object, shifted by a pixel or two, and a false one."""
    found = []
    for shift, entry in enumerate(truth["annotations"]):
        x, y, w, h = entry["bbox"]
        x, y = x + shift % 3, y + shift % 2
        mask = [[float(v) for v in (x, y, x + w, y, x + w, y + h, x, y + h)]]
        common = {key: entry[key] for key in ("image_id", "category_id")}
        found.append(common | {"bbox": [x, y, w, h], "segmentation": mask, "score": 0.9 - 0.1 * shift})
    return [*found, found[0] | {"category_id": 2, "score": 0.95}]


def write(folder: Path, truth: dict[str, Any], found: list[dict[str, Any]]) -> None:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "val").mkdir(exist_ok=True)
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(found))
    for image in truth["images"]:
        cv2.imwrite(str(folder / "val" / image["file_name"]), np.zeros((*SIZE, 3), np.uint8))


def figures(folder: Path, *, by_sample: bool = False, **options: Any) -> dict[str, float]:
    """From the two files, or, as where an evaluator needs the images, through samples."""
    with pytest.MonkeyPatch.context() as patch:
        if by_sample:
            patch.setattr("toolkit.evaluation.runs._from_documents", lambda *_: None)
        overrides = {"evaluators": {"coco": {"boundary": True}}} | options
        (report,) = evaluate_predictions(
            folder / "results.json", data="coco", data_dir=str(folder), split="val", overrides=overrides
        )
    return dict(report.metrics)


def leave_out(*keys: str, which: slice = slice(None)) -> Change:
    def change(truth: dict[str, Any]) -> None:
        for entry in truth["annotations"][which]:
            for key in keys:
                entry.pop(key, None)

    return change


def put(key: str, value: Any, which: slice = slice(None)) -> Change:
    def change(truth: dict[str, Any]) -> None:
        for entry in truth["annotations"][which]:
            entry[key] = value

    return change


SAME: dict[str, Change] = {
    "everything is there": lambda truth: None,
    "no area": leave_out("area"),
    "some areas": leave_out("area", which=slice(0, 2)),
    "no iscrowd": leave_out("iscrowd", which=slice(0, 2)),
    "no ids": leave_out("id"),
    "no boxes": leave_out("bbox"),
    "neither boxes nor areas": leave_out("bbox", "area"),
    "empty fields": put("area", None, slice(1, 2)),
    "a truth value as iscrowd": put("iscrowd", True, slice(2, 3)),
    "boxes alone": leave_out("segmentation"),
    "boxes alone, as empty lists": put("segmentation", []),
    "sizes are missing": lambda truth: [image.pop("width") for image in truth["images"]] and None,
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_both_ways_give_the_same_figures(tmp_path: Path, change: Change) -> None:
    truth = document()
    found = results(truth)
    whole = tmp_path / "whole"
    write(whole, truth, found)
    change(truth)
    write(tmp_path / "changed", truth, found)
    by_file, by_sample = (figures(tmp_path / "changed", by_sample=way) for way in (False, True))
    assert by_file.keys() == by_sample.keys()
    assert by_file == pytest.approx(by_sample, abs=1e-12, nan_ok=True)
    expected = figures(whole)
    assert {name: expected[name] for name in by_file} == pytest.approx(by_file, abs=1e-12, nan_ok=True)
    assert expected["segm/AP"] > 0


FAULTY: dict[str, tuple[Change, str]] = {
    "a null box and no mask": (
        lambda truth: truth["annotations"][1].update(bbox=None, segmentation=None),
        "neither a? ?segmentation nor a? ?bbox",
    ),
    "text as a box": (put("bbox", "1,2,3,4", slice(1, 2)), "bbox"),
    "a box without width": (put("bbox", [5, 5, 0, 10], slice(0, 1)), "annotation"),
    "a polygon of null": (put("segmentation", [[1, None, 9, 1, 9, 9]], slice(0, 1)), "segmentation|polygon"),
    "an endless polygon": (put("segmentation", [[1, 1e8, 9, 1, 9, 9]], slice(0, 1)), "segmentation|polygon"),
    "a polygon of two points": (put("segmentation", [[1, 1, 9, 9]], slice(0, 1)), "annotation"),
    "run lengths of another size": (
        put("segmentation", {"size": [3, 3], "counts": [9]}, slice(2, 3)),
        r"\[3, 3\]",
    ),
    "run lengths that are too long": (
        put("segmentation", {"size": list(SIZE), "counts": [10, 5000]}, slice(2, 3)),
        "run lengths",
    ),
    "a mask for one of two": (leave_out("segmentation", which=slice(1, 2)), "mask"),
    "iscrowd 2": (put("iscrowd", 2, slice(0, 1)), "iscrowd"),
    "an endless area": (put("area", math.inf, slice(0, 1)), "area"),
    "a negative area": (put("area", -4, slice(0, 1)), "area"),
    "one id twice": (put("id", 3), "twice|has the id"),
}


@pytest.mark.parametrize(("change", "message"), FAULTY.values(), ids=FAULTY)
def test_both_ways_refuse_the_same(tmp_path: Path, change: Change, message: str) -> None:
    truth = document()
    found = results(truth)
    change(truth)
    write(tmp_path, truth, found)
    for by_sample in (False, True):
        with pytest.raises(DataError, match=message):
            figures(tmp_path, by_sample=by_sample)


def test_objects_without_area_are_left_out_both_ways_where_they_may_be(tmp_path: Path) -> None:
    truth = document()
    write(tmp_path, truth, results(truth))
    expected = figures(tmp_path)
    flat = {"id": 9, "image_id": 1, "category_id": 3, "bbox": [5, 5, 0, 9], "segmentation": [square(5, 5, 9)]}
    point = {"id": 10, "image_id": 1, "category_id": 3, "bbox": [5, 5, 9, 9], "segmentation": [[1, 1, 2, 2]]}
    truth["annotations"] += [flat, point]
    write(tmp_path, truth, results(document()))
    for by_sample in (False, True):
        found = figures(tmp_path, by_sample=by_sample, **{"data.options.degenerate": "skip"})
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_what_the_file_has_stays_as_it_is() -> None:
    truth = document()
    before = copy.deepcopy(truth)
    complete = complete_truth(truth, Path("x.json"))
    assert complete is not None
    assert truth == before
    assert complete["annotations"] == truth["annotations"]
    assert complete["categories"] == truth["categories"]


def test_all_faults_are_told_at_once() -> None:
    truth = document()
    for entry in truth["annotations"][:3]:
        entry["bbox"] = [1, 2, 0, 4]
    with pytest.raises(DataError, match="x.json has 3 errors:") as caught:
        complete_truth(truth, Path("x.json"))
    assert "annotation 2 (id 3) has no area" in str(caught.value)


def test_no_images_and_no_annotations() -> None:
    empty: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    assert complete_truth(empty, Path("x.json")) == empty
