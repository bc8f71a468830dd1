"""Confusion, calibration and best thresholds of detections, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from coco_cases import Case, document, make_case, measure, results
from pycocotools import mask as coco_mask
from test_coco_errors import entries, judge_image, overlap, pair

from toolkit.evaluation.bootstrap import resampled_metrics
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.types import Prediction, Sample


def pairs_of(case: Case) -> list[tuple[Sample, Prediction]]:
    return list(zip(case.samples, case.predictions, strict=True))


def naive_confusion(case: Case, kind: str, score: float) -> np.ndarray:
    counts = np.zeros((len(case.classes) + 1,) * 2, dtype=int)
    for sample, prediction in pairs_of(case):
        truth, found = entries(sample.instances), entries(prediction.instances)
        judge_image(kind, truth, found)
        objects = [each for each in truth if not each["crowd"]]
        found = [each for each in found if not each["ignored"] and each["score"] >= score]
        for same in (True, False):
            for det in (each for each in found if "true" not in each):
                free = [(overlap(kind, det, g), i) for i, g in enumerate(objects) if "guess" not in g]
                free = [f for f in free if f[0] >= 0.5 and (objects[f[1]]["class"] == det["class"]) == same]
                if free:
                    objects[max(free)[1]]["guess"], det["true"] = det["class"], objects[max(free)[1]]["class"]
        for det in found:
            counts[det.get("true", -1), det["class"]] += 1
        for each in (each for each in objects if "guess" not in each):
            counts[each["class"], -1] += 1
    return counts


def naive_calibration(case: Case, kind: str, bins: int) -> float:
    found = []
    for sample, prediction in pairs_of(case):
        truth, detections = entries(sample.instances), entries(prediction.instances)
        judge_image(kind, truth, detections)
        found += [(each["score"], each["right"]) for each in detections if not each["ignored"]]
    error = 0.0
    for place in range(bins):
        inside = [(s, r) for s, r in found if place == min(math.floor(s * bins), bins - 1)]
        if inside:
            error += abs(np.mean([s for s, _ in inside]) - np.mean([r for _, r in inside])) * len(inside)
    return error / len(found) if found else math.nan


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_confusion_and_calibration_equal_plain_loops(kind: str) -> None:
    off_diagonal = undefined = 0
    for seed in range(60 if kind == "bbox" else 30):
        case = make_case(seed, with_masks=kind == "segm")
        if sum(len(each.instances or ()) for each in case.predictions) > 100:
            continue
        score, bins = (0.5, 10) if seed % 2 else (0.25, 7)
        report = measure(case, confusion_score=score, calibration_bins=bins)
        counts = np.array(report.matrices[f"{kind}/confusion"].values)
        assert (counts == naive_confusion(case, kind, score)).all(), seed
        expected = naive_calibration(case, kind, bins)
        assert report.metrics[f"{kind}/ECE"] == pytest.approx(expected, abs=1e-12, nan_ok=True), seed
        off_diagonal += int((counts[:-1, :-1] * (1 - np.eye(len(counts) - 1, dtype=int))).sum())
        undefined += math.isnan(expected)
    assert off_diagonal > 10
    assert undefined


def test_best_thresholds_equal_a_plain_loop() -> None:
    defined = 0
    for seed in range(70):
        case = make_case(seed, with_masks=False)
        if sum(len(each.instances or ()) for each in case.predictions) > 100:
            continue
        report = measure(case)
        judged = []
        for sample, prediction in pairs_of(case):
            truth, found = entries(sample.instances), entries(prediction.instances)
            judge_image("bbox", truth, found)
            judged.append((truth, [each for each in found if not each["ignored"]]))
        for label in range(len(case.classes)):
            objects = sum(not t["crowd"] and t["class"] == label for truth, _ in judged for t in truth)
            found = [each for _, detections in judged for each in detections if each["class"] == label]
            best = (math.nan if not objects else 0.0, -1.0)
            for threshold in {each["score"] for each in found}:
                kept = [each["right"] for each in found if each["score"] >= threshold]
                if objects:
                    best = max(best, (2 * sum(kept) / (len(kept) + objects), threshold))
            figures = {name: values[label] for name, values in report.per_class.items()}
            assert figures["bbox/F1"] == pytest.approx(best[0], nan_ok=True), seed
            if best[0] > 0:
                kept = [each["right"] for each in found if each["score"] >= best[1]]
                assert figures["bbox/F1_threshold"] == best[1], seed
                assert figures["bbox/F1_precision"] == pytest.approx(sum(kept) / len(kept))
                assert figures["bbox/F1_recall"] == pytest.approx(sum(kept) / objects)
                defined += 1
            else:
                assert math.isnan(figures["bbox/F1_threshold"])
    assert defined > 20


def test_curves_over_the_score() -> None:
    truth = [[0, 0, 20, 20], [40, 0, 60, 20]]
    report = measure(pair(truth, [1, 1], [truth[0], [100, 100, 110, 110]], [1, 1]))  # scores 0.9 and 0.1
    recall, precision = (report.curves[f"bbox/{name} by score"].y["dog"] for name in ("recall", "precision"))
    assert report.curves["bbox/recall by score"].x[50] == 0.5
    assert (recall[0], recall[50], recall[95]) == (0.5, 0.5, 0)
    assert (precision[0], precision[50]) == (0.5, 1)
    assert math.isnan(precision[95])
    assert all(math.isnan(value) for value in report.curves["bbox/recall by score"].y["cat"])


def test_documents_give_the_same_as_samples() -> None:
    for seed in range(12):
        case = make_case(seed, with_masks=True)
        document_report = Coco(CocoSettings(iou_types=("segm",)), case.classes).report_document(
            document(case), results(case, boxes=False), range(1, len(case.classes) + 1)
        )
        report = measure(case, iou_types=["segm"])
        chosen = {name for name in report.metrics if "dAP" in name or name.endswith(("F1", "ECE"))}
        assert {name: document_report.metrics[name] for name in chosen} == pytest.approx(
            {name: report.metrics[name] for name in chosen}, abs=1e-7, nan_ok=True
        )
        assert document_report.matrices == report.matrices
        assert document_report.images == tuple(f"{name}.jpg" for name in report.images)
        assert document_report.per_image["segm/missed"] == report.per_image["segm/missed"]


def test_polygons_of_a_document_are_compared_as_masks() -> None:
    square = [[10, 10, 50, 10, 50, 50, 10, 50]]
    code = coco_mask.merge(coco_mask.frPyObjects(square, 120, 160))
    mask = {"size": code["size"], "counts": code["counts"].decode()}
    truth = {
        "images": [{"id": 7, "height": 120, "width": 160, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "segmentation": square, "area": 1600.0, "iscrowd": 0}
            | {"bbox": [10, 10, 40, 40]}
        ],
    }
    found = [{"image_id": 7, "category_id": 3, "score": 0.8, "segmentation": mask}]
    report = Coco(CocoSettings(iou_types=("segm",)), ["cat"]).report_document(truth, found, [3])
    assert report.matrices["segm/confusion"].values == [[1, 0], [0, 0]]


def test_single_images_at_the_score_of_the_confusion_matrix() -> None:
    truth = [[0, 0, 20, 20], [40, 0, 60, 20]]
    case = pair(truth, [1, 1], [truth[0], truth[1]], [1, 1])  # scores 0.9 and 0.1
    report = measure(case)
    assert report.images == ("a",)
    assert report.per_image == {"bbox/F1": [2 / 3], "bbox/wrong": [0], "bbox/missed": [1]}
    assert measure(case, confusion_score=0.0).per_image["bbox/F1"] == [1]


def test_scores_beyond_1_are_no_probabilities() -> None:
    case = pair([[0, 0, 20, 20]], [1], [[0, 0, 20, 20]], [1])
    found = case.predictions[0].instances
    assert found is not None
    case.predictions[0] = Prediction(
        "a",
        found.size,
        instances=type(found)(found.size, found.boxes_xyxy, found.labels, scores=torch.tensor([7.5])),
    )
    report = measure(case)
    assert math.isnan(report.metrics["bbox/ECE"])
    assert "bbox/reliability" not in report.curves
    assert "Scores reach from 7.5 to 7.5, so they are no probabilities" in report.notes[-1]


def test_diagnosis_can_be_turned_off() -> None:
    report = measure(make_case(0, with_masks=False), diagnosis=False)
    assert not any("dAP" in name for name in report.metrics)
    assert not report.matrices
    assert not report.summary


def test_what_is_lower_better_and_what_tables_leave_out() -> None:
    report = measure(make_case(1, with_masks=False))
    assert "bbox/dAP_missed" in report.lower_is_better
    assert "bbox/ECE" in report.lower_is_better
    assert "bbox/F1" not in report.lower_is_better
    assert {"bbox/dAP_missed", "bbox/F1_threshold"} <= set(report.details)
    assert "bbox/AP" not in report.details


def test_merged_states_give_the_same() -> None:
    case = make_case(5, with_masks=True)
    parts = []
    for rank in range(2):
        evaluator = Coco(CocoSettings(), case.classes)
        evaluator.update(case.samples[rank::2], case.predictions[rank::2])
        parts.append(evaluator.state())
    merged = Coco(CocoSettings(), case.classes)
    merged.merge(parts)
    assert merged.report().to_dict() == measure(case).to_dict()


def test_results_without_boxes_have_those_of_their_masks() -> None:
    for seed in range(6):
        case = make_case(seed, with_masks=True)
        ids = range(1, len(case.classes) + 1)
        bare = results(case, boxes=False)
        boxed = [
            each
            | {
                "bbox": coco_mask.toBbox(
                    {**each["segmentation"], "counts": each["segmentation"]["counts"].encode()}
                ).tolist()
            }
            for each in bare
        ]
        reports = [
            Coco(CocoSettings(iou_types=("bbox",)), case.classes).report_document(document(case), found, ids)
            for found in (bare, boxed)
        ]
        assert reports[0].matrices == reports[1].matrices
        assert reports[0].metrics["bbox/AP"] == reports[1].metrics["bbox/AP"]


def test_results_with_points_alone() -> None:
    truth = {
        "images": [{"id": 1, "height": 100, "width": 100, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [10.0, 10.0, 40.0, 40.0],
                "area": 1600.0,
                "iscrowd": 0,
            }
            | {"keypoints": [10, 10, 2, 50, 50, 2], "num_keypoints": 2}
        ],
    }
    found = [{"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": [10, 10, 1, 50, 50, 1]}]
    settings = CocoSettings(keypoint_sigmas=(0.1, 0.1))
    report = Coco(settings, ["x"]).report_document(truth, found, [1])
    assert report.matrices["bbox/confusion"].values == [[1, 0], [0, 0]]
    assert "keypoints/dAP_missed" not in report.metrics


def test_bootstrap_draws_count_repeated_images() -> None:
    cases = (make_case(seed, with_masks=False) for seed in range(20))
    case = next(case for case in cases if len(case.samples) == 4)
    states = []
    for sample, prediction in pairs_of(case):
        evaluator = Coco(CocoSettings(), case.classes)
        evaluator.update([sample], [prediction])
        states.append(evaluator.state())
    counts = np.array([[1, 1, 1, 1], [2, 0, 1, 1]])
    drawn = resampled_metrics(Coco(CocoSettings(), case.classes), states, counts)
    whole = measure(case).metrics
    for name in ("bbox/dAP_missed", "bbox/dAP_localization", "bbox/ECE", "bbox/F1"):
        assert drawn[name][0] == pytest.approx(whole[name], nan_ok=True)
    twice = Coco(CocoSettings(), case.classes)
    twice.merge_repeated(states, [2, 0, 1, 1])
    report = twice.report()
    assert report.metrics["bbox/ECE"] == pytest.approx(drawn["bbox/ECE"][1], nan_ok=True)
    assert report.metrics.keys() == whole.keys()
    assert not report.images, "a draw has metrics alone"
