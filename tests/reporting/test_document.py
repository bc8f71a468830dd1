"""The document holds what was found, as JSON can."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_cases import EVERY_KIND, findings_of, gray, objects, with_label_maps

from toolkit.evaluation.report import Report
from toolkit.reporting.document import MOST_POINTS, build_document, object_sizes, training_curves
from toolkit.types import Prediction


def test_it_is_json_with_the_figures_of_the_evaluators() -> None:
    report = Report("coco", {"AP": 0.5, "APl": float("nan")}, {"AP": [0.5, float("nan")]}, ("a", "b"))
    document, pictures = build_document(findings_of(("a", "b"), EVERY_KIND, [report]))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["reports"] == [report.to_dict()]
    assert document["data"]["classes"] == [
        {"name": "a", "images": 5, "objects": 5},
        {"name": "b", "images": 2, "objects": 2},
    ]
    assert document["data"]["images"] == len(EVERY_KIND)
    assert document["data"]["sizes"]["median"] == [80, 64]
    named = [*document["errors"]["most_telling"], *document["suspects"]]
    named += [*document["worst_images"], *document["best_images"]]
    assert {entry["picture"] for entry in named} == set(pictures)


def test_label_maps_are_counted_in_pixels() -> None:
    truth = np.zeros((10, 10), np.uint8)
    document, _ = build_document(findings_of(("a", "b"), [with_label_maps("one", truth, truth)]))
    assert document["data"]["classes"][0] == {"name": "a", "images": 1, "pixels": 100}
    assert document["by_score"] is document["data"]["object_sizes"] is None


def test_objects_are_small_medium_and_large_by_their_area() -> None:
    size = (200, 300)
    placed = [(0, (0, 0, 32, 31)), (0, (0, 0, 32, 32)), (0, (0, 0, 96, 96)), (0, (0, 0, 97, 96))]
    sample = gray("one", size).with_(instances=objects(placed, size=size))
    pair = (sample, Prediction("one", size, instances=objects([], [], size=size)))
    assert object_sizes(findings_of(("a",), [pair]).observer) == {"small": 1, "medium": 2, "large": 1}


def test_nothing_measured_is_a_document_too() -> None:
    document, pictures = build_document(findings_of(("a",), []))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["data"]["images"], document["data"]["sizes"], pictures) == (0, None, {})


def test_curves_of_the_training_leave_out_what_is_undefined() -> None:
    lines = [
        {"step": 1, "loss": 2.0, "lr": 0.1, "grad_norm": 3.0},
        {"step": 2, "loss": None, "lr": 0.05},
        {"step": 2, "val/mean_iou": 0.5, "val/loss": 1.0, "val/loss/a": 0.5},
    ]
    charts = training_curves(lines)
    assert [chart["title"] for chart in charts] == ["loss", "learning rate", "validation"]
    assert charts[0]["lines"] == {
        "training": {"steps": [1], "values": [2.0]},
        "validation": {"steps": [2], "values": [1.0]},
    }
    assert list(charts[2]["lines"]) == ["mean_iou"]
    assert training_curves([]) == []


@pytest.mark.parametrize("points", [MOST_POINTS, MOST_POINTS + 1, 10 * MOST_POINTS])
def test_long_curves_are_thinned(points: int) -> None:
    (chart,) = training_curves([{"step": step, "loss": 1.0} for step in range(points)])
    kept = chart["lines"]["training"]["steps"]
    assert MOST_POINTS / 2 < len(kept) <= MOST_POINTS
    assert kept[0] == 0
