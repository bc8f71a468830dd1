"""Reads every sample of a dataset, counts what is in it and collects what is wrong with it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.faults import gathering
from toolkit.data.image_looks import Look, look_of
from toolkit.data.notes import noting
from toolkit.data.object_checks import ObjectFinding, object_findings
from toolkit.errors import ToolkitError
from toolkit.types import VOID, Sample, Size
from toolkit.types.equality import ByValue


@dataclass(eq=False)
class SplitReport(ByValue):
    """What a split holds.

    Attributes:
        classes: the class names.
        samples: how many samples there should be.
        faults: what is wrong; a sample may have several.
        pixels: int64 ``[C]``, pixels of each class in the label maps.
        void_pixels: pixels of no class.
        images: int64 ``[C]``, label maps that show each class.
        instances: int64 ``[C]``, objects of each class; crowd regions are not among them.
        crowds: crowd regions, of any class.
        without_instances: samples that say that they have no object.
        sizes: how many samples have each height and width.
        notes: what readers left out or took in a special way, counted by description.
        photos: the ids of the samples by a hash of the file of their photo, where they have one.
        ids: of the samples, in order.
        unusable: why a sample cannot be used, by its position.
        looks: what the images look like, by position.
        objects: what looks wrong with objects, as position of the sample and finding.
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
    notes: Counter[str] = field(default_factory=Counter)
    photos: dict[bytes, list[str]] = field(default_factory=dict)
    ids: Sequence[str] = ()
    unusable: dict[int, str] = field(default_factory=dict)
    looks: dict[int, Look] = field(default_factory=dict)
    objects: list[tuple[int, ObjectFinding]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pixels, self.images, self.instances = (
            torch.zeros(len(self.classes), dtype=torch.int64) for _ in range(3)
        )


@dataclass(frozen=True)
class _Counts:
    """What one sample adds to the report; small, unlike the sample itself."""

    id: str
    size: Size
    pixels: Tensor | None
    instances: Tensor | None
    crowds: int
    look: Look
    objects: list[ObjectFinding]
    photo: bytes | None = None


def check_split(
    dataset: Dataset, on_progress: Callable[[], None] = lambda: None, faults: Sequence[str] = ()
) -> SplitReport:
    """Read every sample, going on past those that cannot be read.

    Args:
        dataset: the split.
        on_progress: called after each sample.
        faults: what was seen when the dataset was opened; they come first in the report.
    """
    report = SplitReport(dataset.classes, len(dataset), [*faults], ids=dataset.ids)
    report.faults += _duplicates(dataset)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        examined = pool.map(partial(_examine, dataset), range(len(dataset)))
        for position, (counts, found, notes) in enumerate(examined):
            report.faults += found
            report.notes += notes
            if counts is None:
                report.unusable[position] = found[-1]
            else:
                _add(report, position, counts)
            on_progress()
    report.faults += _nothing_to_learn(report)
    return report


def _nothing_to_learn(report: SplitReport) -> Iterator[str]:
    """A fault for a split without anything that a model could learn or be measured by; not where samples have
    faults, which may be why.
    """
    if report.faults:
        return
    if not report.samples:
        yield "there are no samples. Hint: check the annotations and the image folder"
    elif report.void_pixels and not int(report.pixels.sum()):
        yield "every pixel of every sample is void. Hint: check which value means void"
    elif (
        report.without_instances == report.samples and not report.void_pixels and not int(report.pixels.sum())
    ):
        crowds = f"; the {report.crowds} crowd regions do not count" if report.crowds else ""
        yield (
            f"no sample has an object{crowds}, so there is nothing to train on or to evaluate. Hint: check"
            " whether the annotations belong to these images"
        )


def _duplicates(dataset: Dataset) -> Iterator[str]:
    for one, count in Counter(dataset.ids).items():
        if count > 1:
            yield f"the id {one!r} occurs {'twice' if count == 2 else f'{count} times'}"


def _examine(dataset: Dataset, index: int) -> tuple[_Counts | None, list[str], Counter[str]]:
    """What is in a sample, None when it cannot be used, all that is wrong with it, and what was noted."""
    with gathering() as faults, noting() as notes:
        try:
            sample = dataset[index]
        except ToolkitError as error:
            return None, [*faults, str(error)], notes
        except Exception as error:  # someone else's reader may raise anything at all
            name = type(error).__name__
            what = f"{dataset.ids[index]}: the reader failed with {name}: {error}"
            return None, [*faults, what], notes
    beyond = list(_beyond_the_classes(sample, len(dataset.classes)))
    counts = None if beyond else _count(sample, len(dataset.classes))
    boxes = [] if counts is None else _wrong_boxes(sample.id, counts.objects)
    return counts, [*dict.fromkeys([*faults, *beyond, *boxes])], notes


def _wrong_boxes(sample_id: str, objects: Sequence[ObjectFinding]) -> Iterator[str]:
    """A fault for each box that is not that of its mask; what else looks wrong with objects is told by
    ``toolkit.data.suspects``.
    """
    for each in objects:
        if each.kind == "box":
            yield f"{sample_id}: object {each.index} {each.what}. Hint: correct the one that is wrong"


def _beyond_the_classes(sample: Sample, num_classes: int) -> Iterator[str]:
    """A fault for labels that stand for no class."""
    only = f"but there are only {num_classes} classes"
    if sample.label_map is not None:
        pixels = torch.bincount(sample.label_map.flatten(), minlength=256)
        beyond = (pixels[num_classes:VOID].nonzero().flatten() + num_classes).tolist()
        if beyond:
            which = f"class {beyond[0]}" if len(beyond) == 1 else f"classes {', '.join(map(str, beyond))}"
            yield f"{sample.id}: label map has {which}, {only}"
    if sample.instances is not None:
        labels = sample.instances.labels
        for label in torch.unique(labels[labels >= num_classes]).tolist():
            yield f"{sample.id}: an instance has class {label}, {only}"


def _count(sample: Sample, num_classes: int) -> _Counts:
    pixels = instances = crowd = None
    if sample.label_map is not None:
        pixels = torch.bincount(sample.label_map.flatten(), minlength=256)
    if sample.instances is not None:
        labels, crowd = sample.instances.labels, sample.instances.is_crowd
        instances = torch.bincount(labels if crowd is None else labels[~crowd], minlength=num_classes)
    crowds = 0 if crowd is None else int(crowd.sum())
    objects = [] if sample.instances is None else object_findings(sample.instances)
    look, photo = look_of(sample.image), _hash_of(sample.path)
    return _Counts(sample.id, sample.size, pixels, instances, crowds, look, objects, photo)


def _hash_of(path: str | None) -> bytes | None:
    """A hash of a file, by which the same photo is known wherever it lies and whatever it is called."""
    if path is None or not Path(path).is_file():
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None


def _add(report: SplitReport, position: int, counts: _Counts) -> None:
    report.looks[position] = counts.look
    report.objects += [(position, finding) for finding in counts.objects]
    if counts.photo is not None:
        report.photos.setdefault(counts.photo, []).append(counts.id)
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
