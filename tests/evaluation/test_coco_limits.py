"""A report says where a limit on the number of detections decides the figures, and its advice works."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from coco_cases import Case, document, results
from coco_cases import measure as measured

from toolkit.config.tree import parse_overrides
from toolkit.evaluation import coco_limits
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.report import Report
from toolkit.types import Instances, Prediction, Sample

SIZE = (400, 400)
IMAGE = torch.zeros((3, *SIZE), dtype=torch.uint8)


def grid(count: int, labels: list[int] | None = None, **fields: Any) -> Instances:
    """Squares of 8 x 8 pixels that do not touch."""
    place = torch.arange(count)
    corner = torch.stack([place % 40, place // 40], dim=1).float() * 10
    own = torch.zeros(count, dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Instances(SIZE, torch.cat([corner, corner + 8], dim=1), own, **fields)


def case(truth: list[Instances], found: list[Instances], classes: int = 1) -> Case:
    names = [f"{i:02d}" for i in range(len(truth))]
    return Case(
        tuple(f"class {i}" for i in range(classes)),
        [Sample(name, IMAGE, instances=each) for name, each in zip(names, truth, strict=True)],
        [Prediction(name, SIZE, instances=each) for name, each in zip(names, found, strict=True)],
    )


def both(each: Case, **settings: Any) -> list[Report]:
    """Measured by samples, and by files."""
    categories = range(1, len(each.classes) + 1)
    files = Coco(CocoSettings(**settings), each.classes)
    return [measured(each, **settings), files.report_document(document(each), results(each), categories)]


def scores(count: int) -> torch.Tensor:
    return torch.linspace(1, 0.5, count)


def test_more_objects_than_count() -> None:
    many = case([grid(250), grid(3), grid(101)], [grid(n, scores=scores(n)) for n in (250, 3, 101)])
    for report in both(many):
        assert report.metrics["bbox/AP"] < 0.7
        (note,) = report.notes
        assert note.startswith("2 images have more than 100 objects of one class (up to 250), but only")
        advice = re.findall(r"Hint: '(.*?)' counts all of them$", note)
        settings = parse_overrides(advice)["evaluators"]["coco"]
        assert settings == {"max_detections": [1, 10, 250]}
        for better in both(many, **settings):
            assert better.metrics["bbox/AP"] == pytest.approx(1.0)
            assert better.notes == ()


def test_more_objects_than_the_model_finds() -> None:
    for report in both(case([grid(120)], [grid(100, scores=scores(100))])):
        assert report.metrics["bbox/AR100"] == pytest.approx(100 / 120)
        assert report.notes[0].endswith(
            "'evaluators.coco.max_detections=[1,10,120]' counts all of them, if the model finds that many;"
            " its own settings may have a limit, too"
        )


def test_more_detections_than_count() -> None:
    for report in both(case([grid(2)], [grid(30, scores=scores(30))]), max_detections=(20,)):
        assert report.notes == (
            "1 image has more than 20 detections of one class (up to 30), of which only those with the"
            " highest scores count. Hint: 'evaluators.coco.max_detections=[30]' counts all of them",
        )


def test_limits_are_of_a_class_and_leave_crowds_out() -> None:
    """As COCO counts: 100 of each class."""
    two_classes = [i % 2 for i in range(200)]
    crowds = torch.arange(150) >= 50
    for report in [
        *both(case([grid(200, two_classes)], [grid(200, two_classes, scores=scores(200))], classes=2)),
        *both(case([grid(150, is_crowd=crowds)], [grid(100, scores=scores(100))])),
    ]:
        assert report.notes == ()


@pytest.mark.parametrize("objects", [20, 21])
def test_keypoints_have_a_limit_of_their_own(objects: int) -> None:
    """Every detector finds more than 20, so that alone is not worth a note."""
    points = torch.ones(60, 17, 3)
    each = case([grid(objects, keypoints=points[:objects])], [grid(60, scores=scores(60), keypoints=points)])
    for report in both(each):
        assert "keypoints/AP" in report.metrics
        assert [note.startswith("1 image has more than 20 objects") for note in report.notes] == [True] * (
            objects > 20
        )


def test_nothing_at_all_needs_no_note() -> None:
    empty = Instances.empty(SIZE, with_scores=True)
    for report in both(case([Instances.empty(SIZE)], [empty])):
        assert not [note for note in report.notes if "more than" in note]


@pytest.mark.parametrize("counters", [1, 7, 1 << 20])
@pytest.mark.parametrize("images", [0, 1, 9])
def test_the_most_frequent_class_of_each_image_is_counted(
    counters: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_limits, "MOST_COUNTERS", counters)
    rng = np.random.default_rng(images)
    labels = [rng.integers(0, 3, n) for n in rng.integers(1, 6, images)]
    expected = [max([each.tolist().count(label) for label in range(3)]) for each in labels]
    ids = np.repeat(np.arange(images), [len(each) for each in labels])
    assert coco_limits.most_by_image(ids, np.concatenate([np.zeros(0, np.int64), *labels])) == expected


@pytest.mark.parametrize("counters", [1, 40, 1 << 20])
def test_ids_that_are_far_apart_are_counted_likewise(counters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_limits, "MOST_COUNTERS", counters)
    rng = np.random.default_rng(0)
    for ids in ([5], [3, 4, 90], [7, 1 << 40, 1 << 52], [1 << 70, 3]):
        entries = [
            {"image_id": ids[rng.integers(len(ids))], "category_id": int(rng.integers(1, 4)) * 10}
            for _ in range(30)
        ]
        found = coco_limits.document_densities(entries, entries)
        counts: dict[int, list[int]] = {}
        for entry in entries:
            counts.setdefault(entry["image_id"], []).append(entry["category_id"])
        expected = sorted(max(map(each.count, each)) for each in counts.values())
        assert sorted(found.truth) == sorted(found.found) == expected
