"""Time to write a report on many images, without reading them and their predictions, and size of its page::

    PYTHONPATH=. python benchmarks/report_size.py [--images 5000] [--others 5000]

The images and their COCO annotations are generated, with about seven ellipses in each. The predictions are
COCO results: the true objects, some of them missed, moved or given another class, each with a score. With
``--others`` there is a split of that many other images, in which the report looks for near-duplicates. Times
are CPU times, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.data.loader import EvaluationLoader
from toolkit.evaluation.driver import Subject, predict_batches
from toolkit.evaluation.image_states import ImageStates
from toolkit.evaluation.requests import DataChoice
from toolkit.evaluation.runs import open_predictions
from toolkit.models.recorded import RecordedModel
from toolkit.reporting import measuring, observer
from toolkit.reporting.measuring import ReportOptions, report_predictions

MOST_SECONDS, MOST_MEGABYTES = 30.0, 10.0
SIZE, CLASSES, MOST_OBJECTS = (240, 320), 20, 13


def ellipse(rng: np.random.Generator) -> np.ndarray:
    """Vertices of an ellipse inside the image, float64 ``[24, 2]``."""
    radii = rng.uniform(8, 40, 2)
    center = rng.uniform(42, np.array(SIZE[::-1]) - 42)
    turns = np.arange(24) * (2 * np.pi / 24)
    return center + radii * np.stack([np.cos(turns), np.sin(turns)], axis=1)


def entry(corners: np.ndarray, image: int, category: int) -> dict[str, Any]:
    """The fields that an annotation and a result share."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "segmentation": [corners.round(2).ravel().tolist()],
    }


def write_set(folder: Path, split: str, images: int, seed: int) -> tuple[int, int]:
    """Write images, annotations and results; return the numbers of objects and detections."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(exist_ok=True)
    records, annotations, results = [], [], []
    for number in range(1, images + 1):
        picture = np.full((*SIZE, 3), rng.integers(40, 90), np.uint8)
        for _ in range(int(rng.integers(2, MOST_OBJECTS))):
            corners, category = ellipse(rng), int(rng.integers(1, CLASSES + 1))
            color = [int(value) for value in rng.integers(90, 255, 3)]
            cv2.fillPoly(picture, [corners.astype(np.int32)], color)
            area = float(cv2.contourArea(corners.astype(np.float32)))
            annotations.append(
                entry(corners, number, category) | {"id": len(annotations) + 1, "area": area, "iscrowd": 0}
            )
            if rng.random() < 0.1:
                continue
            if rng.random() < 0.3:
                corners = corners + rng.uniform(-12, 12, 2)
            if rng.random() < 0.05:
                category = int(rng.integers(1, CLASSES + 1))
            results.append(entry(corners, number, category) | {"score": float(rng.beta(5, 2))})
        name = f"{split}-{number:05d}.jpg"
        cv2.imwrite(str(folder / "images" / name), picture)
        records.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)]
    document = {"images": records, "annotations": annotations, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(document))
    (folder / f"{split}-results.json").write_text(json.dumps(results))
    return len(annotations), len(results)


def timed(owner: Any, name: str, spent: dict[str, float], what: str) -> None:
    """Let a function add what it takes to ``spent[what]``."""
    function: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[what] = spent.get(what, 0.0) + time.process_time() - began

    setattr(owner, name, call)


def main() -> int:
    """Print the measurements as JSON; return 0 if they are within the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--others", type=int, default=0, help="images of another split")
    parser.add_argument("--out", type=Path, help="the page to write; a temporary file when left out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects, detections = write_set(folder, "val", args.images, 0)
        if args.others:
            write_set(folder, "train", args.others, 1)
        options = {
            "data.options.images": "images",
            "data.options.val": "val.json",
            "data.options.train": "train.json",
        }
        choice = DataChoice("coco", name, "val", options | {"evaluators.coco": {}})
        path = folder / "val-results.json"
        began = time.process_time()
        found = open_predictions(path, choice, "index")
        loader = EvaluationLoader(found.opened.dataset, batch_size=1)
        for _ in predict_batches([Subject(RecordedModel(found.files))], loader):
            pass
        reading = time.process_time() - began
        spent: dict[str, float] = {}
        timed(ImageStates, "spreads", spent, "seconds of intervals")
        for module, function in (
            (observer, "look_of"),
            (measuring, "other_splits"),
            (measuring, "find_copies"),
        ):
            timed(module, function, spent, "seconds of near-duplicates")
        began = time.process_time()
        page = args.out or folder / "report.html"
        written = report_predictions(path, choice, options=ReportOptions(out=page))
        beyond = time.process_time() - began - reading
        megabytes = written.path.stat().st_size / 1e6
    compared = written.document["data"]["copies"]["compared"]
    counts = {"images": args.images, "others": compared, "objects": objects, "detections": detections}
    measured = {"seconds of reading": reading, "seconds beyond": beyond, **spent, "megabytes": megabytes}
    print(json.dumps(counts | {key: round(value, 1) for key, value in measured.items()}))
    return 0 if beyond <= MOST_SECONDS and megabytes <= MOST_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
