"""Label statistics: the numbers of pixels and objects of each class in a split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.faults import gathering
from toolkit.types import VOID, Sample, class_scores
from toolkit.types.equality import ByValue

NAMED = 8
"""Largest number of classes named in a line."""


@dataclass(eq=False)
class LabelCounts(ByValue):
    """The labels of a split, or of a random part of it.

    Attributes:
        classes: the class names.
        images: number of images in the split.
        counted: number of images whose labels were counted.
        unreadable: number of images that could not be read.
        pixels: int64 ``[C]``, number of pixels of each class in the label maps; None if there are no label
            maps.
        void_pixels: number of pixels without a class.
        objects: int64 ``[C]``, number of objects of each class, without crowd regions; None if there are no
            objects.
        images_of: int64 ``[C]``, number of images that are of each class as a whole; None if images have no
            class.
        images_with: int64 ``[C]``, number of images that contain each class, or are of it.
    """

    classes: tuple[str, ...]
    images: int
    counted: int = 0
    unreadable: int = 0
    pixels: Tensor | None = None
    void_pixels: int = 0
    objects: Tensor | None = None
    images_of: Tensor | None = None
    images_with: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.images_with = torch.zeros(len(self.classes), dtype=torch.int64)

    def add(self, sample: Sample, fields: Sequence[str] | None = None) -> None:
        """Count the labels of a sample.

        Args:
            sample: the sample; labels that stand for no class are left out.
            fields: the kinds of labels that are counted; all when None.
        """
        count = len(self.classes)
        shown = torch.zeros(count, dtype=torch.bool)
        if sample.label_map is not None and (fields is None or "label_map" in fields):
            pixels = torch.bincount(sample.label_map.flatten(), minlength=VOID + 1)
            self.pixels = pixels[:count] + (0 if self.pixels is None else self.pixels)
            self.void_pixels += int(pixels[VOID])
            shown |= pixels[:count] > 0
        if sample.instances is not None and (fields is None or "instances" in fields):
            labels, crowd = sample.instances.labels, sample.instances.is_crowd
            labels = labels if crowd is None else labels[~crowd]
            objects = torch.bincount(labels[labels < count], minlength=count)
            self.objects = objects + (0 if self.objects is None else self.objects)
            shown |= objects > 0
        whole = class_scores(sample, count)
        if whole is not None and (fields is None or whole.field in fields):
            images = torch.bincount(torch.tensor([whole.label]), minlength=count)
            self.images_of = images + (0 if self.images_of is None else self.images_of)
            shown |= images > 0
        self.images_with += shown
        self.counted += 1

    @property
    def has_labels(self) -> bool:
        """Whether any labels were counted."""
        return any(each is not None for each in (self.pixels, self.objects, self.images_of))

    @property
    def missing(self) -> list[str]:
        """The classes that no counted image contains."""
        return [
            name for name, count in zip(self.classes, self.images_with.tolist(), strict=True) if not count
        ]

    def to_dict(self) -> dict[str, Any]:
        """All figures, as plain values."""
        kinds = {"pixels": self.pixels, "objects": self.objects, "images": self.images_with}
        columns = {kind: values.tolist() for kind, values in kinds.items() if values is not None}
        document: dict[str, Any] = {"images": self.images, "images_counted": self.counted}
        if self.unreadable:
            document["images_unreadable"] = self.unreadable
        if self.pixels is not None:
            document["void_pixels"] = self.void_pixels
        document["classes"] = {
            name: {kind: values[i] for kind, values in columns.items()} for i, name in enumerate(self.classes)
        }
        return document

    def line(self) -> str:
        """The frequencies of the classes as text, the most frequent first; empty if nothing was counted."""
        parts = []
        if self.pixels is not None and (total := int(self.pixels.sum()) + self.void_pixels):
            shares = [(name, f"{count / total:.1%}") for name, count in self._ranked(self.pixels)]
            void = f", void {self.void_pixels / total:.1%}" if self.void_pixels else ""
            parts.append(f"pixels: {_listed(shares)}{void}")
        if self.objects is not None:
            counts = [(name, f"{count:,}") for name, count in self._ranked(self.objects)]
            parts.append(f"objects: {_listed(counts)}" if counts else "no objects")
        if self.images_of is not None:
            counts = [(name, f"{count:,}") for name, count in self._ranked(self.images_of)]
            parts.append(f"images: {_listed(counts)}")
        if not parts:
            return ""
        part = "" if self.counted == self.images else f" (from {self.counted:,} of {self.images:,} images)"
        return "; ".join(parts) + part

    def _ranked(self, counts: Tensor) -> list[tuple[str, int]]:
        found = [each for each in zip(self.classes, counts.tolist(), strict=True) if each[1]]
        return sorted(found, key=lambda each: -each[1])


def count_labels(
    dataset: Dataset,
    *,
    fields: Sequence[str] | None = None,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.perf_counter,
) -> LabelCounts:
    """Count the labels of a split in a random order, which is the same each time, until the time is up; at
    least one sample is read. Samples that cannot be read are left out, since they are reported when they are
    used.

    Args:
        dataset: the split.
        fields: the kinds of labels that are counted; all when None.
        seconds: how long to read samples.
        clock: returns the time in seconds.
    """
    counts = LabelCounts(tuple(dataset.classes), len(dataset))
    end = clock() + seconds
    order: Iterable[int] = np.random.default_rng(0).permutation(len(dataset)).tolist()
    for index in order:
        try:
            with gathering() as faults:
                sample = dataset[index]
        except Exception:  # a third-party dataset may raise anything
            counts.unreadable += 1
        else:
            if faults:
                counts.unreadable += 1
            else:
                counts.add(sample, fields)
        if clock() >= end:
            break
    return counts


def _listed(items: Sequence[tuple[str, str]]) -> str:
    """The first items, and the number of the rest; a single remaining item is named rather than counted."""
    shown = items if len(items) <= NAMED + 1 else items[:NAMED]
    more = f", {len(items) - len(shown)} more classes" if len(items) > len(shown) else ""
    return ", ".join(f"{name} {figure}" for name, figure in shown) + more
