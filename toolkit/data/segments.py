"""Things and stuff: which classes are which, and how objects become segments of the whole image."""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from toolkit.data.dataset import Dataset
from toolkit.data.painting import WithBackground
from toolkit.errors import DataError
from toolkit.types import BACKGROUND, VOID, Instances, PanopticMap, Sample, Segment, Size

C = TypeVar("C")

PANOPTIC = "panoptic"
"""The key of the ``PanopticMap`` in the ``extras`` of a sample or a prediction."""


class ThingClasses(ABC):  # noqa: B024 - it has an attribute and nothing to implement
    """A dataset that knows which of its classes are things.

    Attributes:
        thing_classes: their names; all other classes are stuff.
    """

    thing_classes: Collection[str] = ()


def thing_classes_of(dataset: Dataset) -> frozenset[str]:
    """The classes of a dataset that are things: those that it declares, or else all except ``background``."""
    known = dataset.capability(ThingClasses)
    return frozenset(dataset.classes if known is None else known.thing_classes) - {BACKGROUND}


class AsPanoptic(WithBackground, ThingClasses):
    """Objects become things; the rest of the label map, or background if there is none, becomes stuff.

    Pixels that have a thing class in the label map but belong to no object are void. Where
    objects overlap, the smaller one is on top.

    Args:
        dataset: a dataset of objects with masks. If its classes have no background, one is added as the first
            class.

    Raises:
        DataError: when there are more classes than a label map can hold.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset, "choose a dataset of panoptic segmentation")
        self.thing_classes = thing_classes_of(dataset)

    def __getitem__(self, index: int) -> Sample:
        """The sample at ``index``, with segments, a label map and objects.

        Raises:
            DataError: when its objects have no masks.
        """
        sample = self._dataset[index]
        where = sample.path or sample.id
        if sample.instances is None:
            raise DataError(f"{where} has no objects to make segments from. Hint: choose another dataset")
        objects = self._shifted(sample.instances)
        if objects.masks is None and len(objects):
            raise DataError(
                f"{where}: segments need masks, but its {len(objects)} objects have only boxes. Hint: choose"
                " another dataset"
            )
        label_map = sample.label_map
        if label_map is not None and self._shift:
            label_map = torch.where(label_map == VOID, VOID, label_map + self._shift).to(torch.uint8)
        stuff = [i for i, name in enumerate(self.classes) if name not in self.thing_classes]
        panoptic = with_stuff(things_as_segments(objects), label_map, stuff, self.classes.index(BACKGROUND))
        if label_map is None:
            label_map = panoptic.label_map()
        extras = {**sample.extras, PANOPTIC: panoptic}
        return sample.with_(label_map=label_map, instances=objects, extras=extras)

    def capability(self, kind: type[C]) -> C | None:
        """Its own capability, or that of the dataset if the classes are the same."""
        own = super().capability(kind)
        return self._dataset.capability(kind) if own is None and not self._shift else own

    def require_images(self) -> None:
        """Check that the images of the dataset exist."""
        self._dataset.require_images()


def things_as_segments(objects: Instances) -> PanopticMap:
    """Objects as segments, painted by area, so that small ones are on top of large ones and crowds below all
    others; objects that are entirely hidden are left out.

    Args:
        objects: objects with masks; scores are ignored.
    """
    numbers = torch.zeros(objects.size, dtype=torch.int32)
    if objects.masks is None:
        return PanopticMap(numbers)
    crowds = torch.zeros(len(objects), dtype=torch.bool) if objects.is_crowd is None else objects.is_crowd
    order = torch.where(crowds, -torch.inf, -objects.masks.areas().double()).argsort(stable=True)
    for i in order.tolist():
        paint(numbers, objects, i, i + 1)
    labels, flags = objects.labels.tolist(), crowds.tolist()
    segments = [Segment(label, True, crowd) for label, crowd in zip(labels, flags, strict=True)]
    return PanopticMap.compacted(numbers, segments)


def paint(numbers: Tensor, objects: Instances, index: int, number: int) -> None:
    """Write a number where an object is, in place.

    Args:
        numbers: int32 ``[H, W]``.
        objects: objects with masks.
        index: the index of the object.
        number: the number to write.
    """
    assert objects.masks is not None
    numbers[objects.masks[[index]].dense()[0]] = number


def with_stuff(
    things: PanopticMap, label_map: Tensor | None, stuff: Sequence[int], background: int
) -> PanopticMap:
    """Segments of things, and one for each class of stuff, where there is no thing.

    Args:
        things: the segments so far.
        label_map: uint8 ``[H, W]``; None if everything else is background.
        stuff: the classes of stuff.
        background: the class of everything else if there is no label map.
    """
    numbers, segments = things.numbers.clone(), list(things.segments)
    rest = numbers == 0
    found = (
        [background] if label_map is None else sorted(set(stuff) & set(np.unique(label_map.numpy()).tolist()))
    )
    for label in found:
        inside = rest if label_map is None else rest & (label_map == label)
        numbers[inside] = len(segments) + 1
        segments.append(Segment(label, False))
    return PanopticMap.compacted(numbers, segments)


def examples(
    classes: Sequence[str], sizes: Sequence[Size], *, objects: int = 3, seed: int = 0
) -> list[Sample]:
    """Generated samples with segments, for contract tests; arguments as for
    ``toolkit.data.generated.generate``.
    """
    from toolkit.data.generated import generate

    made = []
    stuff = [i for i, name in enumerate(classes) if name == BACKGROUND]
    for sample in generate(classes, sizes, objects=objects, seed=seed):
        assert sample.instances is not None
        panoptic = with_stuff(things_as_segments(sample.instances), sample.label_map, stuff, 0)
        made.append(sample.with_(extras={PANOPTIC: panoptic}))
    return made
