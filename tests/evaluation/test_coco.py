"""The evaluator `coco` gives pycocotools' numbers, however the samples are divided, and NaN where there are
none.
"""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from coco_cases import (
    FIGURES,
    SIZE,
    Case,
    assert_equal,
    assert_same_figures,
    document,
    make_case,
    measure,
    reference,
    results,
)

from toolkit import registry
from toolkit.config import validate
from toolkit.data.dataset import Dataset
from toolkit.errors import ConfigError, InvalidDataError
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.formats.coco_numbers import CocoNumbered
from toolkit.types import Instances, Prediction, Sample

EMPTY = Sample("a", torch.zeros((3, *SIZE), dtype=torch.uint8), instances=Instances.empty(SIZE))


class Listed(Dataset):
    """Two samples that are in no COCO file."""

    classes, ids = ("thing",), ("z", "a")

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError


class Numbered(Listed, CocoNumbered):
    """The same from a COCO file with these numbers."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self.coco_image_ids, self.coco_category_ids = numbers, (1,)

    def coco_document(self) -> dict[str, Any]:
        raise NotImplementedError


def blocks(quick: int, total: int) -> list[object]:
    """Numbers of blocks of generated cases, of which the suite tries the first ones."""
    return [block if block < quick else pytest.param(block, marks=pytest.mark.slow) for block in range(total)]


@pytest.mark.parametrize("block", blocks(4, 10))
def test_boxes_equal_pycocotools(block: int) -> None:
    for seed in range(block * 150, (block + 1) * 150):
        case = make_case(seed, with_masks=False)
        assert_same_figures(
            measure(case, diagnosis=False),
            reference(document(case), results(case), "bbox"),
            "bbox",
            f"seed {seed}",
        )


@pytest.mark.parametrize("block", blocks(3, 5))
def test_boxes_and_masks_equal_pycocotools(block: int) -> None:
    """Results of masks go to pycocotools without boxes, since it would take the boxes' areas for those of the
    masks.
    """
    for seed in range(block * 50, (block + 1) * 50):
        case = make_case(seed, with_masks=True)
        report = measure(case, diagnosis=False)
        for kind in ("bbox", "segm"):
            assert_same_figures(
                report,
                reference(document(case), results(case, boxes=kind == "bbox"), kind),
                kind,
                f"{kind}, seed {seed}",
            )


@pytest.mark.parametrize("with_masks", [False, True])
def test_documents_equal_pycocotools_in_double_precision(with_masks: bool) -> None:
    """Numbers that float32 cannot hold; as pycocotools reads the file, areas of detections are those of their
    boxes.
    """
    for seed in range(100 if with_masks else 200):
        case, rng = make_case(seed, with_masks=with_masks), random.Random(seed)
        truth, found = document(case), results(case)
        for entry in (*truth["annotations"], *found):
            entry["bbox"] = [value + rng.random() for value in entry["bbox"]]
        for kind in ("bbox", "segm") if with_masks else ("bbox",):
            if found and truth["annotations"]:
                copies = json.loads(json.dumps([truth, found]))
                report = Coco(CocoSettings(diagnosis=False), case.classes).report_document(
                    truth, found, range(1, len(case.classes) + 1)
                )
                assert_same_figures(report, reference(*copies, kind), kind, f"{kind}, seed {seed}")


def test_the_cases_are_what_they_claim() -> None:
    """Crowds, ties, empty images, no detections, over 100 detections and classes without objects do occur
    among those above.
    """
    seen: set[str] = set()
    for seed in range(150):
        case = make_case(seed, with_masks=False)
        labels = {int(label) for sample in case.samples for label in sample.instances.labels}  # type: ignore[union-attr]
        seen |= {"class without objects"} if len(labels) < len(case.classes) else set()
        for sample, prediction in zip(case.samples, case.predictions, strict=True):
            truth, found = sample.instances, prediction.instances
            assert truth is not None
            assert found is not None
            assert found.scores is not None
            seen |= {"crowd"} if truth.is_crowd is not None and truth.is_crowd.any() else set()
            seen |= {"no objects"} if not len(truth) else set()
            seen |= {"no detections"} if not len(found) else set()
            seen |= {"many"} if len(found) > 100 else set()
            seen |= {"ties"} if len(found.scores.unique()) < len(found) else set()
            seen |= {"areas"} if truth.areas is not None else set()
    assert seen == {"class without objects", "crowd", "no objects", "no detections", "many", "ties", "areas"}


def test_states_of_three_processes_merge_to_one_pass() -> None:
    for seed in range(60):
        case = make_case(seed, with_masks=seed % 3 == 0)
        shares = [Coco(CocoSettings(), case.classes) for _ in range(3)]
        for position, (sample, prediction) in enumerate(zip(case.samples, case.predictions, strict=True)):
            shares[position % 3].update([sample], [prediction])
        states = [share.state() for share in shares]
        random.Random(seed).shuffle(states)
        shares[0].merge(states)
        assert json.loads(shares[0].report().to_json()) == json.loads(measure(case).to_json())


def test_ties_between_images_go_by_the_order_of_the_dataset() -> None:
    """One right and one wrong detection of equal score: which is first decides AP."""
    box = torch.tensor([[10.0, 10, 50, 50]])
    label, score = torch.zeros(1, dtype=torch.int64), torch.ones(1)
    truth = [Instances(SIZE, box, label), Instances.empty(SIZE)]
    image = torch.zeros((3, *SIZE), dtype=torch.uint8)
    samples = [Sample(name, image, instances=each) for name, each in zip(("z", "a"), truth, strict=True)]
    predictions = [
        Prediction(name, SIZE, instances=Instances(SIZE, box, label, scores=score)) for name in ("z", "a")
    ]

    found = []
    for numbers in (None, {"z": 9, "a": 4}):
        evaluator = Coco(CocoSettings(), ["thing"])
        evaluator.prepare(Numbered(numbers) if numbers else Listed())
        evaluator.update(samples, predictions)
        found.append(evaluator.report().metrics["bbox/AP"])
    assert found == pytest.approx([1.0, 0.5])


def test_what_is_undefined_is_nan() -> None:
    evaluator = Coco(CocoSettings(), ["cat", "dog"])
    report = evaluator.report()
    assert list(report.metrics)[:12] == [f"bbox/{name}" for name in FIGURES]
    assert all(math.isnan(value) for value in report.metrics.values())
    assert report.notes == ("No samples were evaluated, so all metrics are undefined.",)
    evaluator.update([EMPTY], [Prediction("a", SIZE, instances=Instances.empty(SIZE, with_scores=True))])
    assert all(math.isnan(value) for value in evaluator.report().metrics.values())
    assert json.loads(evaluator.report().to_json())["metrics"]["bbox/AP"] is None


def test_minus_one_never_leaks() -> None:
    for seed in range(30):
        report = measure(make_case(seed, with_masks=seed % 2 == 0))
        values = [*report.metrics.values(), *(v for row in report.per_class.values() for v in row)]
        values += [v for curve in report.curves.values() for line in curve.y.values() for v in line]
        assert not [value for value in values if value < 0]


def test_the_last_number_of_detections_counts_for_ap() -> None:
    for seed in range(40):
        case = make_case(seed, with_masks=False)
        report = measure(case, max_detections=(1, 2, 3))
        expected = reference(document(case), results(case), "bbox", max_detections=[1, 2, 3])
        recall, precision = expected.eval["recall"], expected.eval["precision"]
        for m, name in enumerate(("AR1", "AR2", "AR3")):
            known = recall[:, :, 0, m][recall[:, :, 0, m] > -1]
            assert_equal(report.metrics[f"bbox/{name}"], known.mean() if known.size else -1, f"seed {seed}")
        known = precision[..., 0, 2][precision[..., 0, 2] > -1]
        assert_equal(report.metrics["bbox/AP"], known.mean() if known.size else -1, f"seed {seed}")


def with_keypoints(case: Case, points: int, seed: int) -> Case:
    """The same objects with keypoints in and around their boxes, some not visible, some objects without
    any.
    """
    rng = np.random.default_rng(seed)

    def add(instances: Instances) -> Instances:
        n = len(instances)
        boxes = instances.boxes_xyxy.numpy()
        at = boxes[:, None, :2] + np.linspace(0, 1, points)[None, :, None] * (
            boxes[:, None, 2:] - boxes[:, None, :2]
        )
        at += rng.normal(0, 2, at.shape)
        visible = rng.integers(0, 3, (n, points, 1)) * (rng.random((n, 1, 1)) < 0.8)
        stacked = torch.from_numpy(np.concatenate([at, visible], axis=2).astype(np.float32))
        return Instances(
            SIZE,
            instances.boxes_xyxy,
            instances.labels,
            None,
            instances.scores,
            stacked,
            instances.is_crowd,
            instances.areas,
        )

    samples = [sample.with_(instances=add(sample.instances)) for sample in case.samples]  # type: ignore[arg-type]
    predictions = [Prediction(p.sample_id, SIZE, instances=add(p.instances)) for p in case.predictions]  # type: ignore[arg-type]
    return Case(case.classes, samples, predictions)


@pytest.mark.parametrize("sigmas", [None, (0.05, 0.1, 0.2)])
def test_keypoints_equal_pycocotools(sigmas: tuple[float, ...] | None) -> None:
    for seed in range(80):
        case = with_keypoints(make_case(seed, with_masks=False), len(sigmas or range(17)), seed)
        report = measure(case, keypoint_sigmas=sigmas)
        if "keypoints/AP" not in report.metrics:
            assert not any(len(each.instances) for each in (*case.samples, *case.predictions))  # type: ignore[arg-type]
            continue
        names = ("AP", "AP50", "AP75", "APm", "APl", "AR20", "ARm", "ARl")
        assert [name for name in report.metrics if name.startswith("keypoints/")] == [
            f"keypoints/{name}" for name in names
        ]
        stats = reference(
            document(case), results(case), "keypoints", sigmas=sigmas
        ).stats  # AR50 and AR75 are COCO's extras
        expected = [*stats[:6], *stats[8:]]
        assert_equal([report.metrics[f"keypoints/{name}"] for name in names], expected, f"seed {seed}")


def test_iou_types_choose_and_demand() -> None:
    case = make_case(0, with_masks=True)
    assert {name.split("/")[0] for name in measure(case).metrics} == {"bbox", "segm"}
    assert {name.split("/")[0] for name in measure(case, iou_types=["segm"]).metrics} == {"segm"}
    boxes = make_case(0, with_masks=False)
    assert {name.split("/")[0] for name in measure(boxes).metrics} == {"bbox"}
    with pytest.raises(InvalidDataError, match="has no masks, but iou_types asks for 'segm'"):
        measure(boxes, iou_types=["segm"])


@pytest.mark.parametrize(
    ("sample", "instances", "expected"),
    [
        (
            EMPTY.with_(instances=None),
            Instances.empty(SIZE),
            "has no instances, so the evaluator coco cannot compare",
        ),
        (
            EMPTY,
            Instances(SIZE, torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64)),
            "must have instances with scores",
        ),
        (
            EMPTY,
            Instances(SIZE, torch.zeros(1, 4), torch.tensor([7]), scores=torch.ones(1)),
            "has label 7, but there are 2 classes",
        ),
        (
            EMPTY,
            Instances(
                SIZE,
                torch.zeros(1, 4),
                torch.tensor([0]),
                scores=torch.ones(1),
                keypoints=torch.zeros(1, 5, 3),
            ),
            "has 5 keypoints. Hint: give evaluators.coco.keypoint_sigmas that many values, not 17",
        ),
    ],
)
def test_faults_are_named(sample: Sample, instances: Instances, expected: str) -> None:
    with pytest.raises(InvalidDataError, match=expected):
        Coco(CocoSettings(), ["cat", "dog"]).update([sample], [Prediction("a", SIZE, instances=instances)])


@pytest.mark.parametrize("value", [[10, 1], [1, 1], [], [0]])
def test_settings_are_checked(value: list[int]) -> None:
    with pytest.raises(ConfigError):
        validate(CocoSettings, {"max_detections": value}, source="test")


def test_it_is_found_by_name() -> None:
    manifest = registry.evaluators().get("coco")
    assert isinstance(manifest.resolve(manifest.build)(CocoSettings(), ["a"]), Coco)
