"""Reads every sample of a dataset, counts what is in it and collects what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.errors import ToolkitError
from toolkit.types import VOID, Sample, Size


@dataclass
class SplitReport:
    """What a split holds.

    Attributes:
        classes: the class names.
        samples: how many samples there should be.
        faults: what is wrong, one message a sample that cannot be used.
        pixels: int64 ``[C]``, pixels of each class in the label maps.
        void_pixels: pixels of no class.
        images: int64 ``[C]``, label maps that show each class.
        instances: int64 ``[C]``, objects of each class; crowd regions are not among them.
        crowds: crowd regions, of any class.
        without_instances: samples that say that they have no object.
        sizes: how many samples have each height and width.
    """

    classes: tuple[str, ...]
    samples: int
    faults: list[str] = field(default_factory=list)
    pixels: Tensor = field(init=False)
    void_pixels: int = 0
    images: Tensor = field(init=False)
    instances: Tensor = field(init=False)
    crowds: int = 0
    without_instances: int = 0
    sizes: dict[Size, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pixels, self.images, self.instances = (
            torch.zeros(len(self.classes), dtype=torch.int64) for _ in range(3)
        )


@dataclass(frozen=True)
class _Counts:
    """What one sample adds to the report; small, unlike the sample itself."""

    size: Size
    pixels: Tensor | None
    instances: Tensor | None
    crowds: int


def check_split(dataset: Dataset, on_progress: Callable[[], None] = lambda: None) -> SplitReport:
    """Read every sample, going on past those that cannot be read.

    Args:
        dataset: the split.
        on_progress: called after each sample.
    """
    report = SplitReport(dataset.classes, len(dataset))
    report.faults += _duplicates(dataset)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for counts in pool.map(partial(_examine, dataset), range(len(dataset))):
            if isinstance(counts, str):
                report.faults.append(counts)
            else:
                _add(report, counts)
            on_progress()
    return report


def _duplicates(dataset: Dataset) -> Iterator[str]:
    seen: set[str] = set()
    for one in dataset.ids:
        if one in seen:
            yield f"the id {one!r} occurs twice"
        seen.add(one)


def _examine(dataset: Dataset, index: int) -> _Counts | str:
    """Count what is in a sample, or say what is wrong with it."""
    try:
        return _count(dataset[index], len(dataset.classes))
    except ToolkitError as error:
        return str(error)
    except Exception as error:  # someone else's reader may raise anything at all
        return f"{dataset.ids[index]}: the reader failed with {type(error).__name__}: {error}"


def _count(sample: Sample, num_classes: int) -> _Counts | str:
    pixels = instances = crowd = None
    if sample.label_map is not None:
        pixels = torch.bincount(sample.label_map.flatten(), minlength=256)
        beyond = pixels[num_classes:VOID].nonzero().flatten()
        if len(beyond):
            return (
                f"{sample.id}: label map has class {num_classes + int(beyond[0])}, but there are only"
                f" {num_classes} classes"
            )
    if sample.instances is not None:
        labels, crowd = sample.instances.labels, sample.instances.is_crowd
        if len(labels) and int(labels.max()) >= num_classes:
            return (
                f"{sample.id}: an instance has class {int(labels.max())}, but there are only {num_classes}"
                " classes"
            )
        instances = torch.bincount(labels if crowd is None else labels[~crowd], minlength=num_classes)
    return _Counts(sample.size, pixels, instances, 0 if crowd is None else int(crowd.sum()))


def _add(report: SplitReport, counts: _Counts) -> None:
    report.sizes[counts.size] = report.sizes.get(counts.size, 0) + 1
    if counts.pixels is not None:
        own = counts.pixels[: len(report.classes)]
        report.pixels += own
        report.images += own > 0
        report.void_pixels += int(counts.pixels[VOID])
    if counts.instances is not None:
        report.instances += counts.instances
        report.without_instances += int(counts.instances.sum()) == 0
    report.crowds += counts.crowds
