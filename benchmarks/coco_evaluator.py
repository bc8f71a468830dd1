"""The evaluator ``coco`` against pycocotools: the size of COCO val, about 36,000 objects and 100 detections
per image, with equal results checked in the same run.

From ``Prediction``s to the report, as after inference, and from two JSON files, which both sides read with
the rest. ``--images`` sets a smaller number; masks (``--masks``) are compared on a tenth of the images, since
pycocotools is so slow. ``--boundary`` compares masks along their boundaries, on 200 images, with the way of
the Boundary IoU API: pycocotools, and ``cv2.erode`` on the dense mask of every object and detection.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from _timing import Comparison, report
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from toolkit.errors import DataError
from toolkit.evaluation.coco import Coco, CocoSettings
from toolkit.evaluation.report import Report
from toolkit.formats.predictions import PredictionFiles
from toolkit.reading.json_text import load_json
from toolkit.types import Instances, Masks, Prediction, Sample

SIZE, CLASSES, OBJECTS, DETECTIONS = (480, 640), 80, 7.2, 100
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
BOUNDARY_IMAGES = 200
Result = TypeVar("Result")


def boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    """x0, y0, x1, y1 in quarters of a pixel, which float32 holds exactly; sides as in COCO, from 8 to 400
    pixels.
    """
    sides = np.minimum(np.exp(rng.uniform(math.log(8), math.log(400), (n, 2))), np.array(SIZE[::-1]) - 1)
    corners = rng.uniform(0, 1, (n, 2)) * (np.array(SIZE[::-1]) - sides)
    return (np.round(np.concatenate([corners, corners + sides], axis=1) * 4) / 4).astype(np.float32)


def ellipses(frames: np.ndarray) -> Masks:
    """An ellipse in each box, as masks."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    counts: list[bytes] = []
    for x0, y0, x1, y1 in frames:
        inside = ((columns - (x0 + x1) / 2) * 2 / (x1 - x0)) ** 2 + (
            (rows - (y0 + y1) / 2) * 2 / (y1 - y0)
        ) ** 2 <= 1
        counts += Masks.from_dense(inside[None]).counts
    return Masks(SIZE, tuple(counts))


def make(images: int, with_masks: bool) -> tuple[list[Sample], list[Prediction]]:
    """Samples and predictions, of which a third are slightly shifted objects."""
    rng = np.random.default_rng(0)
    samples, predictions = [], []
    # Takes no memory, and no metric needs the pixels.
    pixels: Tensor = torch.zeros(1, dtype=torch.uint8).expand(3, *SIZE)
    for i in range(images):
        g = int(rng.poisson(OBJECTS))
        truth, found = boxes(rng, g), boxes(rng, DETECTIONS)
        labels, guesses = rng.integers(0, CLASSES, g), rng.integers(0, CLASSES, DETECTIONS)
        if g:
            near = rng.choice(DETECTIONS, DETECTIONS // 3, replace=False)
            which = rng.integers(0, g, len(near))
            moved = (
                truth[which]
                + np.round(
                    rng.normal(0, 0.08, (len(near), 4)) * np.tile(truth[which, 2:] - truth[which, :2], 2) * 4
                )
                / 4
            )
            moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
            found[near], guesses[near] = moved, labels[which]
        truth_instances = Instances(
            SIZE,
            torch.from_numpy(truth),
            torch.from_numpy(labels),
            ellipses(truth) if with_masks else None,
            is_crowd=torch.from_numpy(rng.random(g) < 0.01),
        )
        found_instances = Instances(
            SIZE,
            torch.from_numpy(found),
            torch.from_numpy(guesses),
            ellipses(found) if with_masks else None,
            torch.from_numpy(rng.beta(0.5, 2, DETECTIONS).astype(np.float32)),
        )
        name = f"{i:06d}"
        samples.append(Sample(name, pixels, instances=truth_instances))
        predictions.append(Prediction(name, SIZE, instances=found_instances))
    return samples, predictions


def entries(name: int, instances: Instances, masks: bool) -> list[dict[str, Any]]:
    """One image's objects as COCO annotations; with masks, results go without boxes, so that areas are those
    of the masks.
    """
    frames, labels = instances.boxes_xyxy.double().numpy(), instances.labels.tolist()
    areas = instances.masks.areas().tolist() if instances.masks is not None else None
    codes = instances.masks.to_coco() if instances.masks is not None else []
    found = []
    for i, (x0, y0, x1, y1) in enumerate(frames.tolist()):
        entry: dict[str, Any] = {"image_id": name, "category_id": labels[i] + 1}
        if instances.scores is not None:
            entry["score"] = float(instances.scores[i])
        else:
            entry |= {"iscrowd": int(instances.is_crowd is not None and instances.is_crowd[i])}
            entry |= {"area": areas[i] if areas else (x1 - x0) * (y1 - y0)}
        if codes:
            entry["segmentation"] = {"size": codes[i]["size"], "counts": codes[i]["counts"].decode()}
        if instances.scores is None or not masks:
            entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        found.append(entry)
    return found


def write(
    samples: list[Sample], predictions: list[Prediction], folder: Path, masks: bool
) -> tuple[Path, Path]:
    """The same data as two JSON files: truth and results."""
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (sample, prediction) in enumerate(zip(samples, predictions, strict=True), start=1):
        truth += entries(number, sample.instances, masks)  # type: ignore[arg-type]
        results += entries(number, prediction.instances, masks)  # type: ignore[arg-type]
    document = {
        "images": [
            {"id": i, "height": SIZE[0], "width": SIZE[1], "file_name": s.id}
            for i, s in enumerate(samples, start=1)
        ],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)],
        "annotations": [entry | {"id": i} for i, entry in enumerate(truth, start=1)],
    }
    (folder / "truth.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "truth.json", folder / "results.json"


def by_toolkit(samples: list[Sample], predictions: list[Prediction], kind: str) -> Report:
    evaluator = Coco(CocoSettings(iou_types=(kind,), diagnosis=False), [f"class {i}" for i in range(CLASSES)])
    for sample, prediction in zip(samples, predictions, strict=True):
        evaluator.update([sample], [prediction])
    return evaluator.report()


def by_toolkit_from_files(truth: Path, results: Path, kind: str) -> Report:
    document = load_json(truth, "annotations", DataError)
    classes, ids = [c["name"] for c in document["categories"]], [c["id"] for c in document["categories"]]
    images = {image["file_name"]: image["id"] for image in document["images"]}
    found = PredictionFiles(results, classes, image_ids=images, category_ids=ids).results
    assert found is not None
    return Coco(CocoSettings(iou_types=(kind,), diagnosis=False), classes).report_document(
        document, found, ids
    )


def by_pycocotools(truth: Path, results: Path, kind: str) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


class ReferenceBoundaryEval(COCOeval):  # type: ignore[misc]
    """pycocotools with the overlap of Cheng et al. 2021, computed as their API does: the boundary of every
    mask in the whole image, before anything is compared.
    """

    def _prepare(self) -> None:
        super()._prepare()
        for side, coco in ((self._gts, self.cocoGt), (self._dts, self.cocoDt)):
            for entries in side.values():
                for entry in entries:
                    entry["edge"] = self._edge(coco.annToMask(entry))

    @staticmethod
    def _edge(mask: np.ndarray) -> dict[str, Any]:
        steps = max(1, round(0.02 * math.hypot(*mask.shape)))
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=steps)[1:-1, 1:-1]
        return coco_mask.encode(np.asfortranarray(mask - eroded))  # type: ignore[no-any-return]

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 - as pycocotools calls it
        along = super().computeIoU(imgId, catId)
        if not len(along):
            return along
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        order = np.argsort([-each["score"] for each in found], kind="mergesort")
        edges = [found[i]["edge"] for i in order][: self.params.maxDets[-1]]
        crowd = np.array([bool(each["iscrowd"]) for each in truth])
        ordinary = coco_mask.iou(edges, [each["edge"] for each in truth], [0] * len(truth))
        return np.where(crowd[None], along, np.minimum(along, ordinary))


def by_boundary_reference(truth: Path, results: Path) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = ReferenceBoundaryEval(coco, coco.loadRes(str(results)), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


def by_toolkit_boundaries(samples: list[Sample], predictions: list[Prediction]) -> Report:
    settings = CocoSettings(iou_types=("segm",), boundary=True, diagnosis=False)
    evaluator = Coco(settings, [f"class {i}" for i in range(CLASSES)])
    evaluator.update(samples, predictions)
    return evaluator.report()


def compare_boundaries(images: int) -> Comparison:
    samples, predictions = make(images, with_masks=True)
    with tempfile.TemporaryDirectory() as folder:
        truth, results = write(samples, predictions, Path(folder), masks=True)
        report, ours_ms = median(lambda: by_toolkit_boundaries(samples, predictions))
        expected, peer_ms = timed(lambda: by_boundary_reference(truth, results))
    check_equal(report, "boundary", expected)
    peer = "pycocotools with cv2.erode on dense masks"
    return Comparison(
        f"boundary, {images:,} images, from predictions; ours with mask AP",
        *("toolkit", peer, ours_ms, peer_ms, peer_ms / ours_ms, 20),
    )


def check_equal(report: Report, kind: str, expected: np.ndarray) -> None:
    difference = max(
        abs(report.metrics[f"{kind}/{name}"] - value) for name, value in zip(NAMES, expected, strict=True)
    )
    if not difference < 1e-12:
        raise SystemExit(f"the metrics for {kind} differ by {difference}")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - start) * 1e3


def median(work: Callable[[], Result]) -> tuple[Result, float]:
    """The median of three runs, after one to warm up."""
    work()
    runs = sorted((timed(work) for _ in range(3)), key=lambda run: run[1])
    return runs[1]


def compare_kind(images: int, kind: str, target: float | None) -> list[Comparison]:
    masks = kind == "segm"
    samples, predictions = make(images, masks)
    objects = sum(len(sample.instances) for sample in samples)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        truth, results = write(samples, predictions, Path(folder), masks)
        memory, memory_ms = median(lambda: by_toolkit(samples, predictions, kind))
        files, files_ms = median(lambda: by_toolkit_from_files(truth, results, kind))
        expected, peer_ms = timed(lambda: by_pycocotools(truth, results, kind))
    for found in (memory, files):
        check_equal(found, kind, expected)
    case = f"{kind}, {images:,} images, {objects:,} objects"
    peer = "pycocotools from JSON"
    return [
        Comparison(
            f"{case}, from predictions", "toolkit", peer, memory_ms, peer_ms, peer_ms / memory_ms, target
        ),
        Comparison(f"{case}, from JSON", "toolkit", peer, files_ms, peer_ms, peer_ms / files_ms, None),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=int, default=5000, help="images with boxes; a target is set for 5,000 only"
    )
    parser.add_argument("--masks", action="store_true", help="also masks, on a tenth of the images")
    parser.add_argument("--boundary", action="store_true", help="also masks along their boundaries")
    args, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    comparisons = compare_kind(args.images, "bbox", 50 if args.images >= 5000 else None)
    if args.masks:
        comparisons += compare_kind(max(1, args.images // 10), "segm", None)
    if args.boundary:
        comparisons.append(compare_boundaries(BOUNDARY_IMAGES))
    return report(f"COCO metrics, {CLASSES} classes, {DETECTIONS} detections per image", comparisons)


if __name__ == "__main__":
    sys.exit(main())
