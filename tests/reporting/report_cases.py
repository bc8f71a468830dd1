"""Small images with boxes as objects, and what a report is made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from toolkit.data.dataset import Dataset
from toolkit.evaluation.driver import PredictedBatch
from toolkit.evaluation.protocols import PLAIN
from toolkit.evaluation.report import Report
from toolkit.reporting.findings import Findings
from toolkit.reporting.observer import Observer
from toolkit.types import Instances, Masks, Prediction, Sample

SIZE = (64, 80)

Placed = tuple[int, tuple[int, int, int, int]]
"""A class and a box: x0, y0, x1, y1."""


def objects(
    placed: Sequence[Placed],
    scores: Sequence[float] | None = None,
    *,
    size: tuple[int, int] = SIZE,
    with_masks: bool = True,
) -> Instances:
    """Filled boxes."""
    dense = np.zeros((len(placed), *size), np.uint8)
    for mask, (_, (x0, y0, x1, y1)) in zip(dense, placed, strict=True):
        mask[y0:y1, x0:x1] = 1
    return Instances(
        size,
        torch.tensor([box for _, box in placed], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _ in placed], dtype=torch.int64),
        Masks.from_dense(dense) if with_masks else None,
        None if scores is None else torch.tensor(scores, dtype=torch.float32),
    )


class Given(Dataset):
    """These samples."""

    def __init__(self, classes: Sequence[str], samples: Sequence[Sample]) -> None:
        self.classes, self.samples = tuple(classes), list(samples)
        self.ids = [sample.id for sample in samples]
        self.reads = 0

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        return self.samples[index]


def gray(sample_id: str, size: tuple[int, int] = SIZE, path: str | None = None) -> Sample:
    """An image without labels."""
    return Sample(sample_id, torch.full((3, *size), 128, dtype=torch.uint8), path=path)


def findings_of(
    classes: Sequence[str],
    pairs: Sequence[tuple[Sample, Prediction]],
    reports: Sequence[Report] = (),
    *,
    name: str = "run",
    protocol: str = PLAIN,
) -> Findings:
    """What is found out when these predictions are seen, in two batches."""
    dataset = Given(classes, [sample for sample, _ in pairs])
    observer = Observer(tuple(classes))
    for part in (slice(0, 2), slice(2, None)):
        samples, predictions = [each[0] for each in pairs[part]], [each[1] for each in pairs[part]]
        if samples:
            first = part.start
            observer.add(PredictedBatch(0, first, samples, {protocol: predictions}, {}, 0.0))
    return Findings(name, "data", "val", dataset, list(reports), observer, 0.5)


def with_objects(
    sample_id: str, truth: Sequence[Placed], found: Sequence[Placed], scores: Sequence[float]
) -> tuple[Sample, Prediction]:
    """A sample with objects, and a prediction."""
    sample = gray(sample_id).with_(instances=objects(truth))
    return sample, Prediction(sample_id, SIZE, instances=objects(found, scores))


def with_label_maps(sample_id: str, truth: np.ndarray, prediction: np.ndarray) -> tuple[Sample, Prediction]:
    """A sample with a label map, and a prediction."""
    sample = gray(sample_id, truth.shape).with_(label_map=torch.from_numpy(truth))
    return sample, Prediction(sample_id, truth.shape, torch.from_numpy(prediction))


A, B, C = (5, 5, 25, 25), (40, 5, 60, 25), (5, 35, 25, 55)
EVERY_KIND = [
    with_objects("right", [(0, A)], [(0, A)], [0.9]),
    with_objects("missed", [(0, A), (1, B)], [(1, B)], [0.8]),
    with_objects("invented", [(0, A)], [(0, A), (1, B)], [0.9, 0.7]),
    with_objects("confused", [(0, A)], [(1, A)], [0.95]),
    with_objects("outlined", [(0, A)], [(0, (5, 5, 25, 13))], [0.85]),
    with_objects("duplicate", [(1, B)], [(1, B), (1, (41, 5, 61, 25))], [0.9, 0.6]),
    with_objects("empty", [], [], []),
]
"""An image with each kind of error, and one without anything."""
