"""Generated panoptic problems, and a reference that counts them pixel by pixel and segment by segment."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.data.segments import AsPanoptic
from toolkit.formats.coco_panoptic import panoptic_categories, segment_records, write_panoptic_png
from toolkit.types import PanopticMap, Prediction, Sample, Segment
from toolkit.visualization.palettes import default_palette

SIZE = (18, 24)


@dataclass
class Case:
    """One problem: samples with truth, and a prediction for each."""

    classes: tuple[str, ...]
    things: frozenset[int]
    samples: list[Sample]
    predictions: list[Prediction]


def make_case(seed: int) -> Case:
    """Crowds, void, empty images and predictions, one class, exact halves: each in some of the cases."""
    rng = np.random.default_rng(seed)
    count = 1 if seed % 7 == 0 else int(rng.integers(2, 6))
    things = frozenset(np.flatnonzero(rng.random(count) < 0.6).tolist())
    samples, predictions = [], []
    for i in range(int(rng.integers(1, 4))):
        truth = _truth(rng, count, things)
        found = _found(rng, truth, count, things)
        image = torch.zeros((3, *SIZE), dtype=torch.uint8)
        samples.append(Sample(f"{seed}-{i}", image, extras={"panoptic": truth}))
        predictions.append(Prediction(f"{seed}-{i}", SIZE, extras={"panoptic": found}))
    return Case(tuple(f"c{i}" for i in range(count)), things, samples, predictions)


def _truth(rng: np.random.Generator, count: int, things: frozenset[int]) -> PanopticMap:
    if rng.random() < 0.08:
        return PanopticMap(torch.zeros(SIZE, dtype=torch.int32))
    numbers, segments = np.zeros(SIZE, np.int32), []
    for _ in range(int(rng.integers(1, 7))):
        y, x = rng.integers(0, SIZE[0] - 2), rng.integers(0, SIZE[1] - 2)
        height, width = rng.integers(2, 10, 2)
        label = int(rng.integers(count))
        segments.append(Segment(label, label in things, label in things and bool(rng.random() < 0.25)))
        numbers[y : y + height, x : x + width] = len(segments)
    return PanopticMap.compacted(torch.from_numpy(numbers), segments)


def _found(rng: np.random.Generator, truth: PanopticMap, count: int, things: frozenset[int]) -> PanopticMap:
    if rng.random() < 0.08:
        return PanopticMap(torch.zeros(SIZE, dtype=torch.int32))
    numbers = np.roll(truth.numbers.numpy(), rng.integers(-2, 3, 2), (0, 1)).copy()
    segments = [replace(segment, is_crowd=False, score=0.5) for segment in truth.segments]
    for place, segment in enumerate(segments):
        if rng.random() < 0.15:
            label = int(rng.integers(count))
            segments[place] = replace(segment, label=label, is_thing=label in things)
    for _ in range(int(rng.integers(0, 4))):
        y, x = rng.integers(0, SIZE[0] - 2), rng.integers(0, SIZE[1] - 2)
        label = int(rng.integers(count))
        segments.append(Segment(label, label in things))
        numbers[y : y + rng.integers(1, 8), x : x + rng.integers(1, 8)] = len(segments)
    if rng.random() < 0.3:
        numbers[: rng.integers(1, 9)] = 0
    return PanopticMap.compacted(torch.from_numpy(numbers), segments)


def pixels_of(panoptic: PanopticMap) -> list[set[tuple[int, int]]]:
    """The pixels of void and of each segment."""
    found: list[set[tuple[int, int]]] = [set() for _ in range(len(panoptic.segments) + 1)]
    for (row, column), number in np.ndenumerate(panoptic.numbers.numpy()):
        found[int(number)].add((row, column))
    return found


def reference(case: Case) -> dict[str, float]:
    """The nine figures by the rules of the paper and of COCO's own code, with sets of pixels.

    A true segment that is no crowd and a predicted one of its class match above an IoU of 0.5; void pixels of
    the truth are no part of the union. Predictions that are more than half in void, or in the last crowd of
    their class, are no false positives.
    """
    rows: NDArray[np.float64] = np.zeros((len(case.classes), 4))
    for sample, prediction in zip(case.samples, case.predictions, strict=True):
        truth, found = sample.extras["panoptic"], prediction.extras["panoptic"]
        void, *true_pixels = pixels_of(truth)
        _, *found_pixels = pixels_of(found)
        matched_true, matched_found = set(), set()
        for t, true in enumerate(truth.segments):
            for p, guess in enumerate(found.segments):
                if true.is_crowd or true.label != guess.label:
                    continue
                union = true_pixels[t] | (found_pixels[p] - void)
                iou = len(true_pixels[t] & found_pixels[p]) / len(union)
                if iou > 0.5:
                    rows[true.label] += (1, 0, 0, iou)
                    matched_true.add(t)
                    matched_found.add(p)
        crowds: dict[int, set[tuple[int, int]]] = {}
        for t, true in enumerate(truth.segments):
            if true.is_crowd:
                crowds[true.label] = true_pixels[t]
            elif t not in matched_true:
                rows[true.label, 2] += 1
        for p, guess in enumerate(found.segments):
            ignored = found_pixels[p] & (void | crowds.get(guess.label, set()))
            if p not in matched_found and not len(ignored) / len(found_pixels[p]) > 0.5:
                rows[guess.label, 1] += 1
    figures = {}
    is_thing = [label in case.things for label in range(len(case.classes))]
    for kind, wanted in (("", (True, False)), ("_things", (True,)), ("_stuff", (False,))):
        chosen = [row for row, thing in zip(rows, is_thing, strict=True) if thing in wanted and row[:3].sum()]
        triples = []
        for tp, fp, fn, iou in chosen:
            whole = tp + fp / 2 + fn / 2
            triples.append((iou / whole, iou / tp if tp else 0.0, tp / whole))
        means = np.mean(triples, 0) if triples else (math.nan,) * 3
        figures |= {f"{name}{kind}": float(v) for name, v in zip(("pq", "sq", "rq"), means, strict=True)}
    return figures


def write_split(folder: Path, split: str, dataset: Dataset, things: Sequence[str]) -> Path:
    """Write samples with segments in COCO's panoptic layout; returns the annotation file."""
    images, annotations = [], []
    pictures = folder / "annotations" / f"panoptic_{split}"
    for number, sample in enumerate((dataset[i] for i in range(len(dataset))), start=1):
        panoptic = sample.extras["panoptic"]
        path = folder / split / f"{sample.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()[..., ::-1]))
        ids = write_panoptic_png(
            pictures / f"{sample.id}.png", panoptic, default_palette(len(dataset.classes))
        )
        records = segment_records(panoptic, ids)
        height, width = sample.size
        images.append({"id": number, "file_name": path.name, "height": height, "width": width})
        annotations.append({"image_id": number, "file_name": f"{sample.id}.png", "segments_info": records})
    categories = panoptic_categories(dataset.classes, things)
    path = pictures.with_suffix(".json")
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def write_shapes(folder: Path, *, size: int = 48, train: int = 6, val: int = 4) -> None:
    """Write generated shapes in COCO's panoptic layout."""
    manifest = registry.datasets().get("shapes")
    for split in ("train", "val"):
        dataset = AsPanoptic(
            open_dataset(manifest, None, split, {"size": size, "train": train, "val": val, "max_shapes": 3})
        )
        write_split(folder, split, dataset, sorted(dataset.thing_classes))
