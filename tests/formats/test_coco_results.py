"""`toolkit eval --predictions` on lists of COCO results, for datasets from COCO files and others."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from coco_cases import SIZE, Case, document, make_case, reference, results
from pycocotools import mask as coco_mask

from toolkit.cli import main
from toolkit.errors import DataError
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.runs import evaluate_predictions
from toolkit.formats.coco_results import result_instances
from toolkit.formats.predictions import PredictionFiles

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def usable(seeds: range) -> list[Case]:
    """Cases in which every object has an area, as a dataset demands, with objects and detections."""
    cases = [make_case(seed, with_masks=True) for seed in seeds]
    return [case for case in cases if results(case) and document(case)["annotations"] and not _flat(case)]


def _flat(case: Case) -> bool:
    return any(min(entry["bbox"][2:]) <= 0 or not entry["area"] for entry in document(case)["annotations"])


def sparse(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with images numbered 3, 6, 9 … and categories 7, 14, 21 …."""
    return [
        entry | {"image_id": entry["image_id"] * 3, "category_id": entry["category_id"] * 7}
        for entry in entries
    ]


def write(folder: Path, case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A COCO dataset with its images in ``folder``, and ``results.json`` beside it; what the two files
    hold.
    """
    truth, found = document(case), sparse(results(case))
    truth["images"] = [
        image | {"id": image["id"] * 3, "file_name": image["file_name"].replace("jpg", "png")}
        for image in truth["images"]
    ]
    truth["categories"] = [category | {"id": category["id"] * 7} for category in truth["categories"]]
    truth["annotations"] = sparse(truth["annotations"])
    (folder / "annotations").mkdir(parents=True)
    (folder / "val").mkdir()
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(found))
    for image in truth["images"]:
        cv2.imwrite(str(folder / "val" / image["file_name"]), np.zeros((*SIZE, 3), np.uint8))
    return truth, found


def assert_reference(
    metrics: dict[str, Any], truth: dict[str, Any], found: list[dict[str, Any]], kind: str
) -> None:
    stats = reference(*json.loads(json.dumps([truth, found])), kind).stats
    got = np.array([metrics[f"{kind}/{name}"] for name in NAMES], dtype=float)
    np.testing.assert_allclose(got, np.where(stats < 0, np.nan, stats), rtol=0, atol=1e-12, equal_nan=True)


def test_the_command_equals_pycocotools_on_both_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = usable(range(14))
    assert len(cases) >= 5
    for i, case in enumerate(cases):
        truth, found = write(tmp_path / str(i), case)
        command = [
            "eval",
            "--predictions",
            str(tmp_path / str(i) / "results.json"),
            "--data",
            "coco",
            "--data-dir",
            str(tmp_path / str(i)),
        ]
        assert main([*command, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)["metrics"]
        for kind in ("bbox", "segm"):
            assert_reference(printed, truth, found, kind)


def test_masks_alone_are_sized_by_their_own_area(tmp_path: Path) -> None:
    for i, case in enumerate(usable(range(14))):
        truth, found = write(tmp_path / str(i), case)
        for entry in found:
            del entry["bbox"]
        (tmp_path / str(i) / "results.json").write_text(json.dumps(found))
        (report,) = evaluate_predictions(
            tmp_path / str(i) / "results.json", data="coco", data_dir=str(tmp_path / str(i))
        )
        for kind in ("bbox", "segm"):
            assert_reference(dict(report.metrics), truth, found, kind)


def test_reading_samples_gives_the_same_as_reading_files(tmp_path: Path) -> None:
    """Through ``Sample`` and ``Prediction``, as for datasets that no COCO file describes: equal where float32
    holds the numbers.
    """
    for i, case in enumerate(usable(range(40, 60))):
        write(tmp_path / str(i), case)
        options: dict[str, Any] = {"data": "coco", "data_dir": str(tmp_path / str(i))}
        (exact,) = evaluate_predictions(tmp_path / str(i) / "results.json", **options)
        both = {"evaluators": {"coco": {}, "iou": {}}}
        by_sample, iou = evaluate_predictions(tmp_path / str(i) / "results.json", **options, overrides=both)
        assert dict(by_sample.metrics) == pytest.approx(dict(exact.metrics), abs=1e-12, nan_ok=True)
        assert "mean_iou" in iou.metrics


def test_perfect_instances_merge_to_perfect_classes(tmp_path: Path) -> None:
    """``iou`` judges an instance model by the classes that its objects cover; where they overlap, the smaller
    is sure to be on top.
    """
    case = usable(range(20))[0]
    truth, _ = write(tmp_path, case)
    objects = [entry for entry in truth["annotations"] if not entry["iscrowd"]]
    objects.sort(key=lambda entry: int(coco_mask.area(entry["segmentation"])), reverse=True)
    keys = ("image_id", "category_id", "bbox", "segmentation")
    perfect = [
        {key: entry[key] for key in keys} | {"score": 0.6 + 0.001 * i} for i, entry in enumerate(objects)
    ]
    (tmp_path / "results.json").write_text(json.dumps(perfect))
    options: dict[str, Any] = {"data": "coco", "data_dir": str(tmp_path)}
    (report,) = evaluate_predictions(
        tmp_path / "results.json", **options, overrides={"evaluators": {"iou": {}}}
    )
    assert report.name == "iou"
    assert report.metrics["mean_iou"] == 1
    (report,) = evaluate_predictions(tmp_path / "results.json", **options)
    assert report.metrics["segm/AP"] == pytest.approx(1)


def test_images_without_results_have_no_detections(tmp_path: Path) -> None:
    case = next(case for case in usable(range(60)) if len(case.samples) > 2)
    truth, found = write(tmp_path, case)
    last = found[-1]["image_id"]
    found = [entry for entry in found if entry["image_id"] != last]
    (tmp_path / "results.json").write_text(json.dumps(found))
    (report,) = evaluate_predictions(tmp_path / "results.json", data="coco", data_dir=str(tmp_path))
    assert_reference(dict(report.metrics), truth, found, "bbox")
    (tmp_path / "results.json").write_text("[]")
    (report,) = evaluate_predictions(tmp_path / "results.json", data="coco", data_dir=str(tmp_path))
    assert report.metrics["bbox/AP"] == 0
    assert report.metrics["segm/AR100"] == 0


def test_a_predictions_file_may_leave_out_images_without_objects(tmp_path: Path) -> None:
    """In the form that `toolkit infer` writes: images by name, categories by name."""
    case = next(case for case in usable(range(60)) if len(case.samples) > 2)
    truth, found = write(tmp_path, case)
    named = {entry["image_id"] for entry in found[:1]}
    images = [image for image in truth["images"] if image["id"] in named]
    content = {
        "images": images,
        "categories": truth["categories"],
        "annotations": [e for e in found if e["image_id"] in named],
    }
    (tmp_path / "predictions.json").write_text(json.dumps(content))
    (report,) = evaluate_predictions(tmp_path / "predictions.json", data="coco", data_dir=str(tmp_path))
    assert_reference(dict(report.metrics), truth, content["annotations"], "bbox")
    content["images"] = [image | {"file_name": f"other {image['file_name']}"} for image in images]
    (tmp_path / "predictions.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="images have no prediction in"):
        evaluate_predictions(tmp_path / "predictions.json", data="coco", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"image_id": "1"}, r"result 1 .*: image_id is '1', which is not one of the dataset's"),
        ({"category_id": 1}, "result 1 .*: category_id is 1, which is not one of the dataset's"),
        ({"score": None}, "result 1 .*: score: should be a valid number, not None"),
        ({"score": math.nan}, "result 1 .*: score: should be a finite number, not nan"),
        ({"score": True}, "result 1 .*: score: should be a valid number, not True"),
        ({"bbox": [1, 2, math.nan, 4]}, r"result 1 .*: bbox\[2\]: should be a finite number, not nan"),
        ({"bbox": [1, 2, 3]}, r"result 1 .*: bbox: expected at least 4 items, not \[1, 2, 3\]"),
        ({"bbox": [1, 2, -3, 4]}, "result 1 .*: bbox has a width or height below 0"),
        ({"bbox": [1, 2, 10**400, 4]}, r"result 1 .*: bbox\[2\]: should be a"),
        ({"bbox": None}, "result 1 .*: has no bbox, unlike the first"),
        ({"keypoints": [1, 2]}, "result 1 .*: keypoints: 2 numbers are not x, y and visibility"),
        (
            {"segmentation": {"size": [120, 160], "counts": "n17=0"}},
            r"result 1.*: mask code: the run lengths cover \d+ pixels, but the image has",
        ),
        (
            {"segmentation": {"size": [120, 160], "counts": ""}},
            r"result 1.*: mask code: the run lengths are damaged or cut off",
        ),
        (
            {"segmentation": {"size": [120, 160], "counts": 3}},
            "segmentation.counts: should be text or a list of whole numbers, not 3",
        ),
        (
            {"segmentation": {"size": [3, 4], "counts": "<"}},
            r"result 1.*: mask code has size list \[3, 4\], but the image has \[120, 160\]",
        ),
        (
            {"segmentation": [[1, None, 9, 1, 9, 9]]},
            r"result 1 .*: segmentation\[0\]\[1\]: should be a valid",
        ),
        ({"segmentation": [[1, math.inf, 9, 1, 9, 9]]}, r"segmentation\[0\]\[1\]: should be a finite number"),
        ({"segmentation": [[1, 1e9, 9, 1, 9, 9]]}, r"segmentation\[0\]\[1\]: should be less than"),
        (
            {"segmentation": [[1, 9e6, 9, 1, 9, 9]]},
            r"result 1.*polygon of object 0 reaches 9e\+06 pixels far",
        ),
        (
            {"segmentation": [1, 2, 9, 1, 9, 9]},
            r"segmentation: must be a list of polygons, each of them a list",
        ),
        ({"segmentation": [{"size": [1, 1], "counts": "1"}]}, "must be one object with size and counts"),
        ({"segmentation": "text"}, "segmentation: must be a list of polygons, or an object"),
    ],
)
def test_faulty_results_are_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    case = next(case for case in usable(range(20)) if len(results(case)) > 1)
    _, found = write(tmp_path, case)
    found[1] |= change
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(DataError, match=expected):
        evaluate_predictions(tmp_path / "results.json", data="coco", data_dir=str(tmp_path))
    by_sample = {"evaluators": {"coco": {}, "iou": {}}}
    with pytest.raises(DataError, match=expected.rpartition(": ")[2]):
        evaluate_predictions(
            tmp_path / "results.json", data="coco", data_dir=str(tmp_path), overrides=by_sample
        )


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for text, expected in (
        ('[{"image_id": 1, "category_id": 1, "score": 1}]', "neither bbox nor segmentation"),
        ("[3]", "expected an object with fields, not 3"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=rf"result 0.*{expected}"):
            PredictionFiles(path, ("a",), image_ids={"x": 1})
    with pytest.raises(DataError, match="names images by numbers that are not known here"):
        PredictionFiles(path, ("a",))


def test_polygons_and_uncompressed_codes_are_read() -> None:
    square = {"label": 0, "score": 0.5, "segmentation": [[1, 1, 1, 4, 4, 4, 4, 1]]}
    code = {"label": 0, "score": 0.5, "segmentation": {"size": [6, 6], "counts": [7, 3, 3, 3, 3, 3, 14]}}
    instances = result_instances([square, code], (6, 6), areas=True)
    assert instances.masks is not None
    assert instances.areas is not None
    assert instances.masks.areas().tolist() == [9, 9]
    assert instances.areas.tolist() == [9, 9]
    assert instances.boxes_xyxy.tolist() == [[1, 1, 4, 4]] * 2


def test_iou_types_that_a_file_lacks_are_an_error() -> None:
    case = usable(range(20))[0]
    found = [{key: value for key, value in entry.items() if key != "segmentation"} for entry in results(case)]
    evaluator = Coco(CocoSettings(iou_types=("segm",)), case.classes)
    with pytest.raises(ValueError, match="not every result has 'segmentation'"):
        evaluator.report_document(document(case), found, range(1, len(case.classes) + 1))


def test_an_object_with_id_0_counts_like_any_other() -> None:
    """Unlike in pycocotools, which takes that id for "no match"."""
    for case in usable(range(20)):
        truth, category_ids = document(case), range(1, len(case.classes) + 1)
        expected = Coco(CocoSettings(), case.classes).report_document(truth, results(case), category_ids)
        for entry in truth["annotations"]:
            entry["id"] -= 1
        found = Coco(CocoSettings(), case.classes).report_document(truth, results(case), category_ids)
        assert dict(found.metrics) == pytest.approx(dict(expected.metrics), abs=1e-15, nan_ok=True)
