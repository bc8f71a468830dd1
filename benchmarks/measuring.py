"""What measuring objects costs: the time of ``toolkit measure`` as a part of the inference before it.

``PYTHONPATH=. python benchmarks/measuring.py [--json] [--photos 20]``

Generated photos of 1,066 × 800 pixels are predicted by Mask R-CNN R50-FPN on the CPU, with overlays, as the
command does. Its weights are random, so it finds nothing, and each photo gets ``--objects`` ellipses instead;
the time of the mask head, which runs on what is found, is missing from the inference. Then these objects are
measured: their shapes alone, with their colors, for which the photos are read once more, and with GeoJSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from _maskrcnn import CLASSES, image, sample
from toolkit.plugins.maskrcnn.model import MaskRCNN
from toolkit.plugins.maskrcnn.settings import MaskRCNNSettings

import toolkit
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.predictor import Predictor
from toolkit.models.contract import Model
from toolkit.types import Prediction, Sample

MOST = 0.05


class Ellipses(Model):
    """Mask R-CNN, whose detections are replaced.

    Args:
        count: number of ellipses in each image.
    """

    def __init__(self, count: int) -> None:
        super().__init__(CLASSES)
        torch.manual_seed(0)
        self.network = MaskRCNN(MaskRCNNSettings(engine="torchvision"), CLASSES)
        found = sample(count).instances
        assert found is not None
        self._found = replace(found, scores=torch.linspace(0.6, 1, count))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """The ellipses, after what the network takes."""
        self.network.predict(samples)
        return [Prediction(each.id, each.size, instances=self._found) for each in samples]


def measured(photos: int, objects: int) -> dict[str, float]:
    """Seconds, and the number of objects."""
    pixels = np.ascontiguousarray(image().permute(1, 2, 0).numpy()[:, :, ::-1])
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "photos"), Path(name, "out")
        folder.mkdir()
        for number in range(photos):  # different photos, so that nothing can be kept
            cv2.imwrite(str(folder / f"{number:03}.jpg"), np.roll(pixels, 37 * number, axis=1))
        predictor = Predictor(Ellipses(objects), device="cpu")
        predictor.predict(folder / "000.jpg")
        start = time.perf_counter()
        summary = predict_folder(predictor, folder, out, progress=False)
        inference = time.perf_counter() - start
        assert summary.done == photos, "a photo could not be predicted"
        figures: dict[str, float] = {"photos": photos, "inference": inference}
        ways: dict[str, dict[str, Any]] = {
            "shapes": {},
            "with_colors": {"images": True, "where_possible": True},
            "with_geojson": {"images": True, "where_possible": True, "geojson": True},
        }
        for way, options in ways.items():
            start = time.perf_counter()
            found = toolkit.measure(out, **options)
            figures[way] = time.perf_counter() - start
        return figures | {"objects": found.objects, "part": figures["with_colors"] / inference}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--objects", type=int, default=12, help="in each photo")
    args = parser.parse_args()
    figures = measured(args.photos, args.objects)
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:14} {value:,.3f}".rstrip("0").rstrip("."))
        print(
            f"missed: {'nothing' if figures['part'] <= MOST else 'measuring is more than 5 % of inference'}"
        )
    return int(figures["part"] > MOST)


if __name__ == "__main__":
    sys.exit(main())
