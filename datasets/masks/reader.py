"""Reads the ``masks`` layout; ``toolkit.formats.mask_folder`` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, model_validator

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.label_maps import read_id_map
from toolkit.data.notes import note
from toolkit.data.parts import PartReadable, cut_instances
from toolkit.data.tiff_windows import TiffWindows
from toolkit.errors import DataError
from toolkit.formats.label_images import (
    check_same_size,
    instances_from_id_map,
    labeled_sample,
    majority_labels,
    with_objects,
)
from toolkit.types import Sample
from toolkit.types.pixel_runs import Rectangle

from . import files
from .files import Folders, Item, find_items
from .legend import Legend, legend_of, legend_of_values, read_class_lines


class MasksSettings(ImageSettings):
    """Options for reading a folder of images and label images."""

    images: str = "images"
    """Folder of the images, in the dataset's folder."""
    labels: str = "labels"
    """Folder of the label images, in the dataset's folder."""
    instances: str = "instances"
    """Folder of images with object ids (0 = none), in the dataset's folder; used if it exists."""
    label_suffix: str = ""
    """Suffix of the names of label images, such as `_mask`."""
    classes_file: str | None = None
    """File with one class name per line, in the dataset's folder; if empty, `classes.txt` if it exists;
    otherwise, the classes are numbered.
    """
    values: dict[Annotated[int, Field(ge=0, le=255)], Annotated[str, Field(min_length=1)]] = Field({})
    """Names of the values in the label images, instead of a list of classes, such as `{0: background, 255:
    object}`; values named `void` belong to no class.
    """
    void: int | None = Field(255, ge=0, le=255)
    """Value that belongs to no class; the class names apply to the other values in order."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Fraction of the images held out for validation if the folder does not define splits."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Fraction of the images held out for testing if the folder does not define splits."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> MasksSettings:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} leave no"
                " training images"
            )
        return self


def build(folder: Path, split: str, settings: MasksSettings) -> MaskFolder:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when a folder is missing or empty, or files do not match.
        MissingSplitError: when the folder does not have this split.
    """
    folders = _folders(folder, settings)
    items = find_items(folders, split, {"test": settings.test_fraction, "val": settings.val_fraction})
    if not items:
        raise DataError(
            f"{folder}: no image of the split {split!r} has a label image. Hint: see the errors above"
        )
    if settings.values:
        legend = legend_of_values(settings.values, settings.void, items[0].label)
    else:
        path = folder / (settings.classes_file or "classes.txt")
        lines = read_class_lines(path, needed=settings.classes_file is not None)
        own = [item.label for item in items]
        others = set(folders.label_files.values()) - set(own)
        legend = legend_of(folders.labels, [*own, *sorted(others)], lines, settings.void)
    return MaskFolder(items, legend, folders.instance_files)


def unread(folder: Path, settings: MasksSettings) -> list[str]:
    """What in the folder belongs to no split."""
    return files.unread(_folders(folder, settings))


def _folders(folder: Path, settings: MasksSettings) -> Folders:
    return Folders(
        folder,
        folder / settings.images,
        folder / settings.labels,
        folder / settings.instances,
        settings.label_suffix,
    )


class MaskFolder(Dataset, PartReadable):
    """One split of a folder of images and label images, with instances if there are images of object
    ids.
    """

    def __init__(self, items: tuple[Item, ...], legend: Legend, instances: Mapping[str, Path]) -> None:
        self.classes = legend.classes
        self.palette = legend.palette
        self.label_values = legend.label_values
        self.ids = tuple(item.id for item in items)
        self._items = items
        self._instances = instances
        without = sum(item.id not in instances for item in items) if instances else 0
        note("images without an image of object ids have no objects", without, log=True)
        self._legend = legend

    def part_path(self, index: int) -> Path:
        """The file of the image."""
        return self._items[index].image

    def part(self, index: int, reader: TiffWindows, place: Rectangle) -> Sample:
        """The image in a rectangle with its labels; label images are decoded whole, at a byte per pixel."""
        item, size = self._items[index], reader.size
        label_map = self._legend.read(item.label)
        check_same_size(label_map, torch.empty(size, device="meta"), item.label, item.image)
        rows, columns = slice(place.top, place.bottom), slice(place.left, place.right)
        cut = label_map[rows, columns].contiguous()
        sample = Sample(item.id, reader.read(place), cut, path=str(item.image))
        ids_path = self._instances.get(item.id)
        if ids_path is None:
            return sample
        ids = read_id_map(ids_path)
        check_same_size(ids, label_map, ids_path, item.image)
        objects = instances_from_id_map(ids, majority_labels(ids, label_map))
        return sample.with_(instances=cut_instances(objects, place))

    def __getitem__(self, index: int) -> Sample:
        """Read one image with its labels."""
        item = self._items[index]
        sample = labeled_sample(item.id, item.image, item.label, self._legend.read, self.scale)
        ids_path = self._instances.get(item.id)
        if ids_path is None:
            return sample
        return with_objects(sample, read_id_map(ids_path), ids_path)
