"""Generated detection problems, and what pycocotools makes of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.report import Report
from toolkit.types import Instances, Masks, Prediction, Sample

SIZE = (120, 160)
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass
class Case:
    """One problem: samples with truth, and a prediction for each."""

    classes: tuple[str, ...]
    samples: list[Sample]
    predictions: list[Prediction]


def shapes(rng: np.random.Generator, boxes: np.ndarray) -> Masks:
    """In every box (x0, y0, x1, y1) an ellipse or a rectangle, some with a hole."""
    height, width = SIZE
    rows, columns = np.mgrid[:height, :width] + 0.5
    dense = np.zeros((len(boxes), height, width), bool)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        if rng.random() < 0.6:
            rx, ry = max(x1 - x0, 1e-3) / 2, max(y1 - y0, 1e-3) / 2
            dense[i] = ((columns - (x0 + x1) / 2) / rx) ** 2 + ((rows - (y0 + y1) / 2) / ry) ** 2 <= 1
        else:
            dense[i] = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
        if rng.random() < 0.2:
            dense[i, :: rng.integers(2, 6)] = False
    return Masks.from_dense(dense)


def random_boxes(rng: np.random.Generator, n: int, whole: bool) -> np.ndarray:
    """Boxes of all three of COCO's sizes, float32 ``[n, 4]``, some without area."""
    side = np.exp(rng.uniform(np.log(2), np.log(130), (n, 2)))
    corner = rng.uniform(0, 1, (n, 2)) * np.maximum(np.array(SIZE[::-1]) - side, 0)
    boxes = np.concatenate([corner, np.minimum(corner + side, SIZE[::-1])], axis=1)
    if whole:
        boxes = np.round(boxes)
    boxes[rng.random(n) < 0.02, 2:] = 0
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return boxes.astype(np.float32)


def nearby(rng: np.random.Generator, boxes: np.ndarray, n: int, whole: bool) -> np.ndarray:
    """Boxes near some of the true ones, and others anywhere."""
    found = random_boxes(rng, n, whole)
    if len(boxes):
        for i in np.flatnonzero(rng.random(n) < 0.7):
            near = boxes[rng.integers(len(boxes))] + rng.normal(0, rng.choice([0.0, 1.0, 4.0]), 4)
            near = np.round(near) if whole else near
            found[i, :2], found[i, 2:] = np.minimum(near[:2], near[2:]), np.maximum(near[:2], near[2:])
    return found


def make_case(seed: int, *, with_masks: bool) -> Case:
    """Crowds, empty images, classes without objects, ties, more than 100 detections: each in some of the
    cases.
    """
    rng = np.random.default_rng(seed)
    n_classes, n_images, whole = int(rng.integers(1, 5)), int(rng.integers(1, 6)), bool(rng.random() < 0.5)
    many = not with_masks and rng.random() < 0.1
    samples, predictions = [], []
    used = int(rng.integers(1, n_classes + 1))
    for position in range(n_images):
        g = int(rng.choice([0, 1, 3, 8]))
        d = int(rng.choice([0, 2, 10])) if not many else int(rng.integers(101, 140))
        truth_boxes = random_boxes(rng, g, whole)
        boxes = nearby(rng, truth_boxes, d, whole)
        scores = (
            rng.random(d) if rng.random() < 0.5 else rng.integers(0, 4, d) / 4
        )  # ties in half of the images
        truth = Instances(
            SIZE,
            torch.from_numpy(truth_boxes),
            torch.from_numpy(rng.integers(0, used, g)),
            shapes(rng, truth_boxes) if with_masks else None,
            is_crowd=torch.from_numpy(rng.random(g) < 0.2),
            areas=torch.from_numpy(np.exp(rng.uniform(2, 11, g))) if rng.random() < 0.3 else None,
        )
        found = Instances(
            SIZE,
            torch.from_numpy(boxes),
            torch.from_numpy(rng.integers(0, n_classes if not many else 1, d)),
            shapes(rng, boxes) if with_masks else None,
            torch.from_numpy(scores.astype(np.float32)),
        )
        # names whose order is not that of the positions
        sample_id = f"{(position * 7 + seed) % 11:02d}"
        samples.append(Sample(sample_id, torch.zeros((3, *SIZE), dtype=torch.uint8), instances=truth))
        predictions.append(Prediction(sample_id, SIZE, instances=found))
    return Case(tuple(f"class {i}" for i in range(n_classes)), samples, predictions)


def document(case: Case) -> dict[str, Any]:
    """The truth as a COCO file has it; images are numbered in the order of their ids, from 1."""
    ranks = {
        sample_id: i for i, sample_id in enumerate(sorted(sample.id for sample in case.samples), start=1)
    }
    annotations: list[dict[str, Any]] = []
    for sample in case.samples:
        truth = sample.instances
        assert truth is not None
        boxes = truth.boxes_xyxy.double()
        for i in range(len(truth)):
            x0, y0, x1, y1 = boxes[i].tolist()
            entry = {
                "id": len(annotations) + 1,
                "image_id": ranks[sample.id],
                "category_id": int(truth.labels[i]) + 1,
            }
            entry |= {
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": int(truth.is_crowd[i]) if truth.is_crowd is not None else 0,
            }
            entry["area"] = (x1 - x0) * (y1 - y0)
            if truth.masks is not None:
                entry["segmentation"] = _text(truth.masks.to_coco()[i])
                entry["area"] = float(coco_mask.area(entry["segmentation"]))
            if truth.areas is not None:
                entry["area"] = float(truth.areas[i])
            if truth.keypoints is not None:
                entry |= {
                    "keypoints": _as_indices(truth.keypoints[i]),
                    "num_keypoints": int((truth.keypoints[i, :, 2] > 0).sum()),
                }
            annotations.append(entry)
    images = [
        {"id": rank, "height": SIZE[0], "width": SIZE[1], "file_name": f"{sample_id}.jpg"}
        for sample_id, rank in ranks.items()
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(case.classes, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def results(case: Case, *, boxes: bool = True) -> list[dict[str, Any]]:
    """The predictions as a COCO results list."""
    ranks = {
        sample_id: i for i, sample_id in enumerate(sorted(sample.id for sample in case.samples), start=1)
    }
    found = []
    for prediction in case.predictions:
        instances = prediction.instances
        assert instances is not None
        assert instances.scores is not None
        for i in range(len(instances)):
            x0, y0, x1, y1 = instances.boxes_xyxy[i].double().tolist()
            entry: dict[str, Any] = {
                "image_id": ranks[prediction.sample_id],
                "category_id": int(instances.labels[i]) + 1,
            }
            entry["score"] = float(instances.scores[i])
            if boxes:
                entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
            if instances.masks is not None:
                entry["segmentation"] = _text(instances.masks.to_coco()[i])
            if instances.keypoints is not None:
                entry["keypoints"] = _as_indices(instances.keypoints[i])
            found.append(entry)
    return found


def _as_indices(keypoints: torch.Tensor) -> list[float]:
    """A file names pixels: the one whose middle is at 0.5, 0.5 is 0, 0. A point that is not there is not
    moved.
    """
    return [
        number
        for x, y, v in keypoints.double().tolist()
        for number in ((x - 0.5, y - 0.5, v) if v else (x, y, v))
    ]


def _text(code: dict[str, Any]) -> dict[str, Any]:
    return {"size": code["size"], "counts": code["counts"].decode()}


def reference(
    truth: dict[str, Any],
    found: list[dict[str, Any]],
    kind: str,
    *,
    max_detections: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
) -> COCOeval:
    """pycocotools' evaluation, summarized, without its prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        detections = COCO()
        if found:
            detections = coco.loadRes(found)
        else:  # loadRes looks at the first result
            detections.dataset = truth | {"annotations": []}
            detections.createIndex()
        evaluation = COCOeval(coco, detections, kind)
        if max_detections is not None:
            evaluation.params.maxDets = list(max_detections)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def measure(case: Case, **settings: Any) -> Report:
    evaluator = Coco(CocoSettings(**settings), case.classes)
    evaluator.update(case.samples, case.predictions)
    return evaluator.report()


def assert_equal(found: Any, expected: Any, case: str) -> None:
    expected = np.asarray(expected, dtype=float)
    expected = np.where(expected < 0, np.nan, expected)
    np.testing.assert_allclose(
        np.asarray(found, dtype=float), expected, rtol=0, atol=1e-12, equal_nan=True, err_msg=case
    )


def assert_same_figures(report: Report, expected: Any, kind: str, case: str) -> None:
    """The twelve numbers, per-class AP, and all curves."""
    assert_equal([report.metrics[f"{kind}/{name}"] for name in FIGURES], expected.stats, case)
    precision = np.where(expected.eval["precision"] < 0, np.nan, expected.eval["precision"])[
        ..., 0, -1
    ]  # threshold x recall x class
    for k, name in enumerate(report.classes):
        assert_equal(report.curves[f"{kind}/PR50"].y[name], precision[0, :, k], case)
        assert_equal(report.curves[f"{kind}/AP by IoU"].y[name], precision[:, :, k].mean(axis=1), case)
        assert_equal(report.per_class[f"{kind}/AP"][k], precision[:, :, k].mean(), case)
