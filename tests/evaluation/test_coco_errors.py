"""What errors cost, against a plain loop over the rules of Bolya et al. (TIDE, ECCV 2020)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from coco_cases import SIZE, Case, make_case, measure
from pycocotools import mask as coco_mask

from toolkit.evaluation.coco_errors import COSTS, MAIN
from toolkit.types import Instances, Prediction, Sample

REMOVED = {"both", "duplicate", "background"}


def naive_ap(points: list[tuple[float, bool]], objects: int) -> float:
    """The area under the curve at 101 recalls, each with the best precision from there on."""
    points = sorted(points, key=lambda point: -point[0])
    hits = np.cumsum([right for _, right in points])
    total = 0.0
    for recall in np.linspace(0, 1, 101):
        reached = [hits[i] / (i + 1) for i in range(len(points)) if objects and hits[i] / objects >= recall]
        total += max(reached, default=0.0)
    return total / 101


def overlap(kind: str, a: dict[str, Any], b: dict[str, Any]) -> float:
    return float(coco_mask.iou([a[kind]], [b[kind]], [b["crowd"]])[0, 0])


def entries(instances: Instances) -> list[dict[str, Any]]:
    boxes = instances.boxes_xyxy.double().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    found = [
        {
            "bbox": boxes[i].tolist(),
            "class": int(instances.labels[i]),
            "segm": instances.masks.to_coco()[i] if instances.masks is not None else None,
            "crowd": bool(instances.is_crowd is not None and instances.is_crowd[i]),
            "score": float(instances.scores[i]) if instances.scores is not None else 0.0,
        }
        for i in range(len(instances))
    ]
    return sorted(found, key=lambda each: -each["score"])


def judge_image(kind: str, truth: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    """Write into each detection whether it is right or ignored, its error, and the object it would have
    found.
    """
    objects = [each for each in truth if not each["crowd"]]
    for det in found:
        det["ious"] = [overlap(kind, det, each) for each in objects]
        free = [(det["ious"][g], g) for g, each in enumerate(objects) if each["class"] == det["class"]]
        free = [pair for pair in free if pair[0] >= 0.5 and "taken" not in objects[pair[1]]]
        det["right"] = bool(free)
        if free:
            objects[max(free)[1]]["taken"] = True
        inside = [c for c in truth if c["crowd"] and c["class"] == det["class"]]
        det["ignored"] = not free and any(overlap(kind, det, crowd) >= 0.5 for crowd in inside)
    for det in (each for each in found if not each["right"]):
        own = [iou * (g["class"] == det["class"]) for iou, g in zip(det["ious"], objects, strict=True)]
        other = [iou * (g["class"] != det["class"]) for iou, g in zip(det["ious"], objects, strict=True)]
        target = None
        if not objects:
            det["error"] = "background"
        elif 0.1 <= max(own) <= 0.5:
            det["error"], target = "localization", objects[own.index(max(own))]
        elif max(other) >= 0.5:
            det["error"], target = "classification", objects[other.index(max(other))]
        elif any(iou >= 0.5 and "taken" in g for iou, g in zip(own, objects, strict=True)):
            det["error"] = "duplicate"
        else:
            det["error"] = "background" if max(det["ious"]) <= 0.1 else "both"
        if target is not None and "taken" not in target and "wanted" not in target:
            target["wanted"], det["fixed"] = True, target["class"]


def naive_costs(case: Case, kind: str) -> tuple[float, dict[str, float]]:
    objects: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for sample, prediction in sorted(
        zip(case.samples, case.predictions, strict=True), key=lambda pair: pair[0].id
    ):
        assert sample.instances is not None
        assert prediction.instances is not None
        truth, detections = entries(sample.instances), entries(prediction.instances)
        judge_image(kind, truth, detections)
        objects += [each for each in truth if not each["crowd"]]
        found += detections

    def mean(name: str | None) -> float:
        values = []
        for label in sorted({each["class"] for each in objects}):
            mine = [each for each in objects if each["class"] == label]
            points = []
            for det in found:
                wrong = name is not None and det.get("error") == name
                if wrong and name not in REMOVED and det.get("fixed") == label:
                    points.append((det["score"], True))
                elif wrong or det["ignored"] or det["class"] != label:
                    continue
                elif name != "false_positives" or det["right"]:
                    points.append((det["score"], det["right"]))
            if name == "missed":
                mine = [each for each in mine if "taken" in each or "wanted" in each]
            if name == "false_negatives":
                mine = [each for each in mine if "taken" in each]
            if mine or points:
                values.append(naive_ap(points, len(mine)))
        return float(np.mean(values)) if values else 1.0

    if not objects:
        return math.nan, dict.fromkeys(COSTS, math.nan)
    return mean(None), {name: max(mean(name) - mean(None), 0.0) for name in COSTS}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_costs_equal_a_plain_loop(kind: str) -> None:
    """With crowds, images and classes without objects, and equal scores."""
    seen: dict[str, int] = dict.fromkeys(COSTS, 0)
    undefined = 0
    for seed in range(60 if kind == "bbox" else 30):
        case = make_case(seed, with_masks=kind == "segm")
        if sum(len(each.instances or ()) for each in case.predictions) > 100:
            continue
        metrics = measure(case).metrics
        ap, costs = naive_costs(case, kind)
        found = {name: metrics[f"{kind}/dAP_{name}"] for name in COSTS}
        assert metrics[f"{kind}/AP50"] == pytest.approx(ap, abs=1e-12, nan_ok=True), seed
        assert found == pytest.approx(costs, abs=1e-12, nan_ok=True), seed
        undefined += math.isnan(ap)
        seen = {name: count + (found[name] > 0) for name, count in seen.items()}
    assert undefined
    assert all(seen.values()), seen


def pair(truth: list[list[float]], labels: list[int], found: list[list[float]], guesses: list[int]) -> Case:
    """One image with objects and detections, the detections in descending order of their scores."""
    boxes = [torch.tensor(each, dtype=torch.float32).reshape(-1, 4) for each in (truth, found)]
    sample = Sample(
        "a",
        torch.zeros((3, *SIZE), dtype=torch.uint8),
        instances=Instances(SIZE, boxes[0], torch.tensor(labels, dtype=torch.int64)),
    )
    scores = torch.linspace(0.9, 0.1, len(found))
    instances = Instances(SIZE, boxes[1], torch.tensor(guesses, dtype=torch.int64), scores=scores)
    return Case(("cat", "dog"), [sample], [Prediction("a", SIZE, instances=instances)])


def test_a_planted_flaw_is_named_first() -> None:
    rng = np.random.default_rng(0)
    corners = [[x, y] for x in range(0, 160, 40) for y in range(0, 120, 40)]
    truth = [[x, y, x + 20.0, y + 20.0] for x, y in corners]
    labels = rng.integers(0, 2, len(truth)).tolist()
    shifted = [[x0 + 9, y0, x1 + 9, y1] for x0, y0, x1, y1 in truth]
    flaws = {
        "localization": pair(truth, labels, shifted, labels),
        "classification": pair(truth, labels, truth, [1 - label for label in labels]),
        "missed": pair(truth, labels, truth[:3], labels[:3]),
        "duplicate": pair(
            truth, labels, [box for box in truth for _ in range(3)], np.repeat(labels, 3).tolist()
        ),
        "background": pair(
            truth,
            labels,
            [box for x0, y0, x1, y1 in truth for box in ([x0 + 22, y0, x1 + 18, y1], [x0, y0, x1, y1])],
            np.repeat(labels, 2).tolist(),
        ),
    }
    for name, case in flaws.items():
        report = measure(case)
        costs = {other: report.metrics[f"bbox/dAP_{other}"] for other in MAIN}
        assert max(costs, key=lambda other: costs[other]) == name, costs
        assert costs[name] > 0.1


def test_where_nothing_is_found_everything_is_missed() -> None:
    report = measure(pair([[0, 0, 20, 20]], [1], [], []))
    assert report.metrics["bbox/dAP_missed"] == 1
    assert report.metrics["bbox/dAP_background"] == 0
    assert math.isnan(report.per_class["bbox/dAP_missed"][0])
    assert report.per_class["bbox/dAP_missed"][1] == 1


def test_without_objects_costs_are_undefined() -> None:
    report = measure(pair([], [], [[0, 0, 20, 20]], [1]))
    assert all(math.isnan(report.metrics[f"bbox/dAP_{name}"]) for name in COSTS)
    assert report.matrices["bbox/errors"].values == [[0] * 6, [0, 0, 0, 0, 1, 0]]
