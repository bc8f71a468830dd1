"""Plants faults in the labels of a validation set, and counts how many a report suspects::

    PYTHONPATH=. python benchmarks/planted_labels.py [--semantic] [--run RUN]

The model is the Mask R-CNN of ``configs/maskrcnn-shapes.yaml`` on generated shapes, which has seen none of
the validation images, or, with ``--semantic``, the U-Net of ``configs/unet-shapes.yaml``, in whose label maps
faults are planted; without ``--run`` it is trained first, in two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from toolkit import registry
from toolkit.config import recipe_folder, resolve
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.evaluation.requests import DataChoice
from toolkit.reporting.measuring import ReportOptions, report_run
from toolkit.training.loop import train
from toolkit.types import BACKGROUND, Instances, Masks, Sample

KINDS = ("missing", "class", "shifted", "twice", "spurious")
REGION_KINDS = ("missing", "class", "spurious")
LEAST_AREA = 300
"""Smallest area in pixels of an object that gets a fault; nobody notices one in a sliver behind another."""


@dataclass(frozen=True)
class Fault:
    """A fault that was planted: what it is, in which image, and where (x0, y0, x1, y1)."""

    kind: str
    image: str
    box: tuple[float, ...]


class Planted(Dataset):
    """A dataset with faults in its labels, at most one in an image."""

    kinds: tuple[str, ...]

    def __init__(self, dataset: Dataset, each: int, seed: int) -> None:
        self.classes, self.palette, self.ids = dataset.classes, dataset.palette, dataset.ids
        self._dataset, self.faults = dataset, list[Fault]()
        rng = np.random.default_rng(seed)
        wanted = [kind for kind in self.kinds for _ in range(each)]
        for index in rng.permutation(len(dataset)).tolist():
            if wanted and self._plant(index, wanted[-1], rng):
                wanted.pop()
        assert not wanted, "there are too few images for so many faults"

    @abstractmethod
    def _plant(self, index: int, kind: str, rng: np.random.Generator) -> bool:
        """Plant a fault in an image; False where there is no place for it."""


class PlantedObjects(Planted):
    """Objects with faults."""

    kinds = KINDS

    def __init__(self, dataset: Dataset, each: int, seed: int) -> None:
        self._instances: dict[int, Instances] = {}
        super().__init__(dataset, each, seed)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return sample.with_(instances=self._instances.get(index, sample.instances), label_map=None)

    def _plant(self, index: int, kind: str, rng: np.random.Generator) -> bool:
        sample = self._dataset[index]
        truth = sample.instances
        assert truth is not None
        assert truth.masks is not None
        candidates = np.flatnonzero(truth.masks.areas().numpy() >= LEAST_AREA)
        if not len(candidates):
            return False
        chosen = int(rng.choice(candidates))
        place = truth.boxes_xyxy[chosen]
        masks, labels = truth.masks.dense().numpy(), truth.labels.numpy().copy()
        if kind == "missing":
            kept = np.arange(len(truth)) != chosen
            masks, labels = masks[kept], labels[kept]
        elif kind == "class":
            others = [label for label in range(1, len(self.classes)) if label != labels[chosen]]
            labels[chosen] = rng.choice(others)
        elif kind == "shifted":
            moved = shifted(masks[chosen], rng)
            if moved is None:
                return False
            masks[chosen] = moved
        elif kind == "twice":
            masks = np.concatenate([masks, np.roll(masks[chosen], 1, axis=1)[None]])
            labels = np.append(labels, labels[chosen])
        else:
            free = empty_place(masks.any(axis=0), rng)
            if free is None:
                return False
            mask = np.zeros((1, *sample.size), bool)
            x0, y0, x1, y1 = free
            mask[0, y0:y1, x0:x1] = True
            masks, place = np.concatenate([masks, mask]), torch.tensor(free)
            labels = np.append(labels, rng.integers(1, len(self.classes)))
        encoded = Masks.from_dense(masks)
        self._instances[index] = replace(
            truth, boxes_xyxy=encoded.boxes_xyxy(), labels=torch.from_numpy(labels), masks=encoded
        )
        self.faults.append(Fault(kind, sample.id, tuple(map(float, place))))
        return True


class PlantedRegions(Planted):
    """Label maps with faults, at most one in an image: the region of an object has the label of another class
    or of the background, or a square of background has the label of a class.
    """

    kinds = REGION_KINDS

    def __init__(self, dataset: Dataset, each: int, seed: int) -> None:
        self._label_maps: dict[int, torch.Tensor] = {}
        super().__init__(dataset, each, seed)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return sample.with_(instances=None, label_map=self._label_maps.get(index, sample.label_map))

    def _plant(self, index: int, kind: str, rng: np.random.Generator) -> bool:
        sample = self._dataset[index]
        assert sample.instances is not None
        assert sample.instances.masks is not None
        assert sample.label_map is not None
        label_map = sample.label_map.clone()
        areas = sample.instances.masks.areas().numpy()
        candidates = np.flatnonzero(areas >= LEAST_AREA)
        background = self.classes.index(BACKGROUND)
        if kind == "spurious":
            free = empty_place((label_map != background).numpy(), rng)
            if free is None:
                return False
            x0, y0, x1, y1 = place = free
            label_map[y0:y1, x0:x1] = int(rng.integers(1, len(self.classes)))
        elif len(candidates):
            chosen = int(rng.choice(candidates))
            inside = sample.instances.masks[[chosen]].dense()[0]
            label = int(sample.instances.labels[chosen])
            others = [i for i in range(len(self.classes)) if i not in (label, background)]
            label_map[inside] = background if kind == "missing" else int(rng.choice(others))
            place = tuple(sample.instances.boxes_xyxy[chosen].tolist())
        else:
            return False
        self._label_maps[index] = label_map
        self.faults.append(Fault(kind, sample.id, tuple(map(float, place))))
        return True


def shifted(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A mask moved so far that its IoU with the original is 1/3 to 2/3; None if no such place was found."""
    for _ in range(50):
        dy, dx = rng.integers(-20, 21, 2)
        moved = np.roll(mask, (dy, dx), axis=(0, 1))
        iou = (moved & mask).sum() / (moved | mask).sum()
        rows, columns = np.nonzero(mask)
        inside = rows.min() + dy >= 0 and rows.max() + dy < mask.shape[0]
        inside = inside and columns.min() + dx >= 0 and columns.max() + dx < mask.shape[1]
        if inside and 1 / 3 <= iou <= 2 / 3:
            return moved
    return None


def empty_place(taken: np.ndarray, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """A square without objects; None if none was found."""
    side = min(taken.shape) // 5
    for _ in range(50):
        y, x = (int(rng.integers(0, length - side)) for length in taken.shape)
        if not taken[y : y + side, x : x + side].any():
            return x, y, x + side, y + side
    return None


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The IoU of two boxes."""
    sides = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    inside = sides[0] * sides[1]
    return inside / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - inside)


def main() -> int:
    """Print what was found as JSON; return 0 if enough faults were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a run on shapes; trained when left out")
    parser.add_argument("--semantic", action="store_true", help="plant faults in label maps, for a U-Net")
    parser.add_argument("--seeds", type=int, default=1, help="sets of faults")
    parser.add_argument("--each", type=int, default=4, help="faults of each kind in a set")
    parser.add_argument("--first", type=int, default=40, help="suspects that are looked through")
    parser.add_argument("--least", type=float, default=0.9, help="share of the faults that must be found")
    parser.add_argument("--out", type=Path, help="the report to write; a temporary file when left out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or Path(folder) / "run"
        if args.run is None:
            plugin = "unet" if args.semantic else "maskrcnn"
            train(resolve(config=recipe_folder() / f"{plugin}-shapes.yaml"), run, show_progress=True)
        dataset = open_dataset(registry.datasets().get("shapes"), None, "val")
        enough = True
        for seed in range(args.seeds):
            planted = (PlantedRegions if args.semantic else PlantedObjects)(dataset, args.each, seed)
            out = args.out or Path(folder) / "report.html"
            options = ReportOptions(out=out, resamples=1, copies=False)
            written = report_run(run, DataChoice(planted), options=options)
            suspects = written.document["suspects"][: args.first]
            ranks = {
                fault: [
                    suspect["rank"]
                    for suspect in suspects
                    if suspect["image"] == fault.image and overlap(suspect["box"], fault.box) > 0.3
                ]
                for fault in planted.faults
            }
            found = [fault for fault, places in ranks.items() if places]
            print(
                json.dumps(
                    {
                        "seed": seed,
                        "planted": len(planted.faults),
                        "found": len(found),
                        "among the first": args.first,
                        "missed": Counter(fault.kind for fault in ranks if fault not in found),
                        "ranks": sorted(min(places) for places in ranks.values() if places),
                    }
                )
            )
            enough = enough and len(found) >= args.least * len(planted.faults)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
