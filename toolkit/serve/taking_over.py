"""Takes over the labels of a dataset, so that they can be corrected on the page: those of its images that are
in the folder of images and have no labels yet. The dataset itself stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit import registry
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import MissingSplitError, UsageError
from toolkit.formats.regions import RegionDataset, to_instances
from toolkit.serve.errors import RequestError
from toolkit.serve.labels import LabelStore, NewLabels, category_name
from toolkit.types import Instances
from toolkit.wording import counted


@dataclass
class TakenOver:
    """What was taken over.

    Attributes:
        images, objects: their numbers.
        elsewhere: images of the dataset that are not in the folder of images.
        before: images that had labels already.
        left_out: objects without a mask, and crowds.
    """

    images: int = 0
    objects: int = 0
    elsewhere: int = 0
    before: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        more = [
            f"{counted(self.elsewhere, 'image')} elsewhere" if self.elsewhere else "",
            f"{counted(self.before, 'image')} labeled before" if self.before else "",
            f"{counted(self.left_out, 'crowd')} or objects without masks" if self.left_out else "",
        ]
        without = "; not taken: " + ", ".join(filter(None, more)) if any(more) else ""
        return f"{counted(self.images, 'image')} with {counted(self.objects, 'object')}{without}"


def take_over(store: LabelStore, name: str, folder: str | Path) -> TakenOver:
    """Save the labels of a dataset.

    Args:
        store: where they are saved, all at once.
        name: of the dataset, such as ``coco``, or a file that defines one.
        folder: its files.

    Raises:
        UsageError: when the dataset has no objects, none of its images is in the folder of images, a class
            cannot be a category here, or another process writes to the labels.
        DataError: when it cannot be read.
        OutputError: when the labels cannot be written.
    """
    manifest = registry.named(registry.datasets(), name, by_user=True)
    if "instance" not in manifest.tasks:
        raise UsageError(
            f"the dataset {manifest.name} has no objects that could be taken over. Hint: choose one for"
            " instance segmentation, see toolkit data list"
        )
    splits: list[tuple[str, Dataset]] = []
    missing: MissingSplitError | None = None
    for split in manifest.splits:
        try:
            splits.append((split, open_dataset(manifest, folder, split)))
        except MissingSplitError as error:
            missing = error
    if not splits and missing is not None:
        raise missing
    taken = TakenOver()
    with store.held():
        try:
            store.add(list(_found(store, splits, taken)))
        except RequestError as error:
            raise UsageError(f"{folder}: {error.detail}") from error
    if taken.elsewhere and not taken.images and not taken.before:
        raise UsageError(
            f"none of the {counted(taken.elsewhere, 'image')} of {folder} is in the folder"
            f" {store.images.folder}. Hint: give their folder as --images"
        )
    return taken


def _found(store: LabelStore, splits: list[tuple[str, Dataset]], taken: TakenOver) -> Iterator[NewLabels]:
    known, labeled = set(store.images.names()), set(store.labeled())
    for split, dataset in splits:
        for place in range(len(dataset)):
            path, instances = _objects(dataset, place)
            name = Path(os.path.relpath(os.path.realpath(path), store.images.folder)).as_posix()
            if name not in known:
                taken.elsewhere += 1
            elif name in labeled:
                taken.before += 1
            else:
                # one that is in two splits stays in the first
                labeled.add(name)
                objects = _outlined(instances, dataset.classes)
                taken.images += 1
                taken.objects += len(objects)
                taken.left_out += len(instances) - len(objects)
                yield NewLabels(name, instances.size, objects, split)


def _objects(dataset: Dataset, place: int) -> tuple[str, Instances]:
    """The path of an image and its objects, without reading its pixels if possible."""
    regions = dataset.capability(RegionDataset)
    if regions is not None:
        size = regions.image_size(place)
        return str(regions.image_path(place)), to_instances(regions.regions(place, size), size)
    sample = dataset[place]
    assert sample.instances is not None  # it is for instance segmentation
    return sample.path or "", sample.instances


def _outlined(instances: Instances, classes: tuple[str, ...]) -> list[tuple[None, str, bytes]]:
    """The objects with masks: no id, the category, and the run lengths."""
    if instances.masks is None:
        return []
    areas = instances.masks.areas().tolist()
    crowd = [False] * len(areas) if instances.is_crowd is None else instances.is_crowd.tolist()
    return [
        (None, category_name(classes[label]), code)
        for label, code, area, is_crowd in zip(
            instances.labels.tolist(), instances.masks.counts, areas, crowd, strict=True
        )
        if area and not is_crowd
    ]
