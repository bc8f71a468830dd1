"""Reads every sample of a dataset, counts its contents and collects errors."""

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
from toolkit.types import VOID, Sample, Size, class_scores
from toolkit.types.equality import ByValue


@dataclass(eq=False)
class SplitReport(ByValue):
    """The contents of a split.

    Attributes:
        classes: the class names.
        samples: how many samples there should be.
        faults: descriptions of errors; a sample may have several.
        pixels: int64 ``[C]``, number of pixels of each class in the label maps.
        void_pixels: number of pixels without a class.
        images: int64 ``[C]``, number of label maps that contain each class.
        instances: int64 ``[C]``, number of objects of each class, without crowd regions.
        images_of: int64 ``[C]``, number of images that are of each class as a whole.
        crowds: number of crowd regions, of any class.
        without_instances: number of samples that are annotated as having no objects.
        sizes: number of samples for each height and width.
        notes: what readers left out or handled in a special way, counted by description.
        photos: the ids of the samples by a hash of their photo's file, if they have one.
        ids: the ids of the samples, in order.
        unusable: why a sample cannot be used, by position.
        looks: features of the appearance of the images, by position.
        objects: what looks wrong with objects, as pairs of a sample's position and a finding.
    """

    classes: tuple[str, ...]
    samples: int
    faults: list[str] = field(default_factory=list)
    pixels: Tensor = field(init=False)
    void_pixels: int = 0
    images: Tensor = field(init=False)
    instances: Tensor = field(init=False)
    images_of: Tensor = field(init=False)
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
        self.pixels, self.images, self.instances, self.images_of = (
            torch.zeros(len(self.classes), dtype=torch.int64) for _ in range(4)
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
    image_class: int | None = None


def check_split(
    dataset: Dataset, on_progress: Callable[[], None] = lambda: None, faults: Sequence[str] = ()
) -> SplitReport:
    """Read every sample, and continue after those that cannot be read.

    Args:
        dataset: the split.
        on_progress: called after each sample.
        faults: errors found when the dataset was opened; they come first in the report.
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
    """An error for a split with nothing to train on or evaluate with. Not reported if samples have errors,
    which may be the reason.
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
    """The counts of a sample (None if it cannot be used), all of its errors, and what was noted."""
    with gathering() as faults, noting() as notes:
        try:
            sample = dataset[index]
        except ToolkitError as error:
            return None, [*faults, str(error)], notes
        except Exception as error:  # a third-party reader may raise anything
            name = type(error).__name__
            what = f"{dataset.ids[index]}: the reader failed with {name}: {error}"
            return None, [*faults, what], notes
    beyond = list(_beyond_the_classes(sample, len(dataset.classes)))
    counts = None if beyond else _count(sample, len(dataset.classes))
    boxes = [] if counts is None else _wrong_boxes(sample.id, counts.objects)
    return counts, [*dict.fromkeys([*faults, *beyond, *boxes])], notes


def _wrong_boxes(sample_id: str, objects: Sequence[ObjectFinding]) -> Iterator[str]:
    """An error for each box that does not match its mask; ``toolkit.data.suspects`` reports anything else
    that looks wrong with objects.
    """
    for each in objects:
        if each.kind == "box":
            yield f"{sample_id}: object {each.index} {each.what}. Hint: correct the one that is wrong"


def _beyond_the_classes(sample: Sample, num_classes: int) -> Iterator[str]:
    """An error for labels that stand for no class."""
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
    whole = class_scores(sample, num_classes)
    label = None if whole is None else whole.label
    return _Counts(sample.id, sample.size, pixels, instances, crowds, look, objects, photo, label)


def _hash_of(path: str | None) -> bytes | None:
    """A hash of a file, which identifies the same photo regardless of its folder and name."""
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
    if counts.image_class is not None:
        report.images_of[counts.image_class] += 1
