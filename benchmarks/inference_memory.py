"""Peak memory of folder inference at 100 and at 5,000 images: it must not grow with their number.

``python benchmarks/inference_memory.py [--json] [--counts 100 5000]``

Each count runs in a separate process over generated 320 x 240 photos, with predicted objects (so that
``predictions.json`` grows, too) and a label map for each. The photo folder contains links to a few files, so
that the benchmark itself needs little disk space.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toolkit.inference.pipeline import Work, predict_folder
from toolkit.inference.predictor import Predictor
from toolkit.models.contract import Model
from toolkit.types import Instances, Masks, Prediction, Sample


class Blocks(Model):
    """Finds 20 objects in any image: a grid of rectangles. It needs almost no memory, so that the measured
    memory is the pipeline's.
    """

    def __init__(self) -> None:
        super().__init__(("block",))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """A grid of 4 x 5 blocks for each sample."""
        return [self._blocks(sample) for sample in samples]

    def _blocks(self, sample: Sample) -> Prediction:
        height, width = sample.size
        boxes = [
            [x * width / 5, y * height / 4, (x + 0.8) * width / 5, (y + 0.8) * height / 4]
            for y in range(4)
            for x in range(5)
        ]
        polygons = [[[x0, y0, x1, y0, x1, y1, x0, y1]] for x0, y0, x1, y1 in boxes]
        labels = torch.zeros(20, dtype=torch.int64)
        masks = Masks.from_polygons(polygons, sample.size)
        instances = Instances(sample.size, torch.tensor(boxes), labels, masks, torch.linspace(0.1, 0.9, 20))
        return Prediction(sample.id, sample.size, (sample.image[0] > 127).to(torch.uint8), instances)


def write_photos(folder: Path, count: int) -> None:
    """``count`` photos, which are links to eight."""
    rng = np.random.default_rng(0)
    originals = folder / "originals"
    originals.mkdir(parents=True)
    for i in range(8):
        small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        small.resize((320, 240)).save(originals / f"{i}.jpg")
    (folder / "photos").mkdir()
    for i in range(count):
        (folder / "photos" / f"{i:06}.jpg").symlink_to(originals / f"{i % 8}.jpg")


def run_once(count: int) -> float:
    """Predict ``count`` photos in this process; returns its peak resident memory in MB."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder, count)
        predict_folder(
            Predictor(Blocks(), device="cpu"), [folder / "photos"], folder / "out", work=Work(4, 2)
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform == "linux" else 1024**2)  # kilobytes on Linux, bytes on macOS


def measure(counts: Sequence[int]) -> dict[str, float]:
    """Peak resident memory in MB for each count, each in a separate process."""
    figures = {}
    for count in counts:
        command = [sys.executable, os.path.abspath(__file__), "--once", str(count)]
        figures[f"peak_mb_at_{count}"] = float(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    figures["growth"] = figures[f"peak_mb_at_{counts[-1]}"] / figures[f"peak_mb_at_{counts[0]}"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 5000])
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once is not None:
        print(run_once(args.once))
        return
    figures = measure(args.counts)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24}{value:10.3f}")


if __name__ == "__main__":
    main()
