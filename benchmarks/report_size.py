"""How long a report of many images takes beyond reading them and their predictions, and how large its page
is::

    PYTHONPATH=. python benchmarks/report_size.py [--images 5000]

The images are generated shapes, about seven objects in each. The predictions are their truth with faults:
some are missed, moved or of another class, and all have a score. Times are those of the processor, so that
other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.data.loader import EvaluationLoader
from toolkit.evaluation.driver import Subject, predict_batches
from toolkit.evaluation.runs import predictions_on
from toolkit.models.recorded import RecordedModel
from toolkit.reporting.measuring import report_predictions
from toolkit.types import Masks

MOST_SECONDS, MOST_MEGABYTES = 30.0, 10.0


def faulty_predictions(dataset: Dataset, seed: int = 0) -> tuple[dict[str, Any], int]:
    """A predictions.json, and how many objects there are."""
    rng = np.random.default_rng(seed)
    images, annotations, objects = [], [], 0
    for number, sample_id in enumerate(dataset.ids):
        truth = dataset[number].instances
        assert truth is not None
        assert truth.masks is not None
        objects += len(truth)
        images.append({"id": number, "file_name": f"{sample_id}.png"})
        dense = truth.masks.dense().numpy()
        for code, mask, label in zip(truth.masks.to_coco(), dense, truth.labels.tolist(), strict=True):
            if rng.random() < 0.1:
                continue
            if rng.random() < 0.3:
                moved = np.roll(mask, rng.integers(-8, 9, 2), axis=(0, 1))
                (code,) = Masks.from_dense(moved[None]).to_coco()
            if rng.random() < 0.05:
                label = int(rng.integers(1, len(dataset.classes)))
            rows, columns = np.nonzero(mask)
            x, y = int(columns.min()), int(rows.min())
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": label,
                    "score": float(rng.beta(5, 2)),
                    "bbox": [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y],
                    "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(dataset.classes)]
    return {"images": images, "categories": categories, "annotations": annotations}, objects


def main() -> int:
    """Print what was measured as JSON; 0 when it is within the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--out", type=Path, help="the page to write; a temporary file when left out")
    args = parser.parse_args()
    options = {"val": args.images, "max_shapes": 16, "noise": 0.2}
    overrides = {f"data.options.{name}": value for name, value in options.items()} | {"evaluators.coco": {}}
    dataset = open_dataset(registry.datasets().get("shapes"), None, "val", options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.json"
        predictions, objects = faulty_predictions(dataset)
        path.write_text(json.dumps(predictions))
        common: dict[str, Any] = {"data": "shapes", "data_dir": None, "split": "val", "overrides": overrides}
        began = time.process_time()
        files, dataset, _, _ = predictions_on(path, **common, label_values="index")
        for _ in predict_batches([Subject(RecordedModel(files))], EvaluationLoader(dataset, batch_size=1)):
            pass
        reading = time.process_time() - began
        began = time.process_time()
        written = report_predictions(path, **common, out=args.out or Path(folder) / "report.html")
        beyond = time.process_time() - began - reading
        megabytes = written.path.stat().st_size / 1e6
    print(
        json.dumps(
            {
                "images": args.images,
                "objects": objects,
                "detections": len(predictions["annotations"]),
                "seconds of reading": round(reading, 1),
                "seconds beyond": round(beyond, 1),
                "megabytes": round(megabytes, 1),
            }
        )
    )
    return 0 if beyond <= MOST_SECONDS and megabytes <= MOST_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
