"""Reads the ``masks`` layout; ``toolkit.formats.mask_folder`` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from pydantic import Field, model_validator
from torch import Tensor

from toolkit.config import Settings
from toolkit.data.dataset import Dataset
from toolkit.data.faults import together, usable
from toolkit.data.images import read_id_map, read_image, read_label_map
from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError
from toolkit.formats.label_images import (
    Color,
    check_same_size,
    colors_to_label_map,
    instances_from_id_map,
    majority_labels,
    values_to_label_map,
)
from toolkit.formats.mask_folder import VOID_NAME, ClassLine, read_classes
from toolkit.types import VOID, Sample

from .files import Folders, Item, all_labels, find_items


class MasksSettings(Settings):
    """How a folder of images and label images is read."""

    images: str = "images"
    """Folder of the images, in the dataset's folder."""
    labels: str = "labels"
    """Folder of the label images, in the dataset's folder."""
    instances: str = "instances"
    """Folder of images with object ids (0 = none), in the dataset's folder; used where there is one."""
    label_suffix: str = ""
    """What the names of label images have at their end and those of images have not, such as `_mask`."""
    classes_file: str | None = None
    """File with one class name a line, in the dataset's folder; without one `classes.txt` where there is one,
    else classes are numbered.
    """
    void: int | None = Field(255, ge=0, le=255)
    """Value that belongs to no class; the class names stand for the other values in order."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Part of the images that is held out for validation, where the folder does not name its splits."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Part of the images that is held out for testing, where the folder does not name its splits."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> MasksSettings:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} leave nothing to"
                " learn from"
            )
        return self


def build(folder: Path, split: str, settings: MasksSettings) -> MaskFolder:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when a folder is missing or empty, or files do not match.
        MissingSplitError: when the folder does not have this split.
    """
    folders = Folders(folder / settings.images, folder / settings.labels, folder / settings.instances)
    items = find_items(
        folder, folders, split, settings.label_suffix, settings.val_fraction, settings.test_fraction
    )
    color_coded = _is_color(items[0].label)
    lines = _read_class_lines(folder, settings)
    if lines is None:
        if color_coded:
            raise DataError(f"{items[0].label} is in color, so its classes must be named. {_COLOR_REPAIR}")
        labels = all_labels(folders, settings.label_suffix)
        lines = _numbered(
            folders.labels,
            max(usable(labels.values(), lambda path: _largest(path, settings.void)), default=-1),
            settings.void,
        )
    return MaskFolder(items, lines, folders.instances, settings.void, color_coded)


_COLOR_REPAIR = (
    "Hint: write classes.txt with a line such as 'grass 0 128 0' for every class, and 'void 0 0 0' for"
    " pixels of no class"
)


class MaskFolder(Dataset):
    """One split of a folder of images and label images, with instances where there are images of object
    ids.
    """

    def __init__(
        self,
        items: tuple[Item, ...],
        lines: tuple[ClassLine, ...],
        instances: Path,
        void: int | None,
        color_coded: bool,
    ) -> None:
        named = [line for line in lines if line.name != VOID_NAME]
        colors = [line.color for line in named if line.color is not None]
        self.classes = tuple(line.name for line in named)
        self.palette = tuple(colors) if len(colors) == len(named) else None
        self.ids = tuple(item.id for item in items)
        self._items = items
        self._instances = instances
        self._values = _value_table(lines, void)
        self._colors: dict[Color, int] = {}
        if not color_coded:
            named_void = None if any(line.name == VOID_NAME for line in lines) else void
            self.label_values = LabelValues.of_table(self._values, len(named), named_void)
            self.palette = self.palette or _palette_of(items[0].label, self._values, len(named))
        else:
            if self.palette is None:
                raise DataError(
                    f"{items[0].label} is in color, but not every class has a color. {_COLOR_REPAIR}"
                )
            index = {name: i for i, name in enumerate(self.classes)}
            self._colors = {
                line.color: index.get(line.name, VOID) for line in lines if line.color is not None
            }

    def __getitem__(self, index: int) -> Sample:
        """Read one image with its labels."""
        item = self._items[index]
        image, label_map = together(lambda: read_image(item.image), lambda: self._read_label_map(item.label))
        check_same_size(label_map, image, item.label, item.image)
        sample = Sample(item.id, image, label_map, path=str(item.image))
        ids_path = self._instances / f"{item.id}.png"
        if not ids_path.is_file():
            return sample
        ids = read_id_map(ids_path)
        check_same_size(ids, image, ids_path, item.image)
        return sample.with_(instances=instances_from_id_map(ids, majority_labels(ids, label_map)))

    def _read_label_map(self, path: Path) -> Tensor:
        if self._colors:
            return colors_to_label_map(read_image(path), self._colors, path)
        return values_to_label_map(read_label_map(path), self._values, path)


def _value_table(lines: tuple[ClassLine, ...], void: int | None) -> dict[int, int]:
    """Value in the file -> class index: the lines stand for the values in order, passing over the void
    value.
    """
    table: dict[int, int] = {} if void is None else {void: VOID}
    free = (value for value in range(256) if value != void)
    index = 0
    for line, value in zip(lines, free, strict=False):
        table[value] = VOID if line.name == VOID_NAME else index
        index += line.name != VOID_NAME
    return table


def _read_class_lines(folder: Path, settings: MasksSettings) -> tuple[ClassLine, ...] | None:
    path = folder / (settings.classes_file or "classes.txt")
    if settings.classes_file is None and not path.is_file():
        return None
    return read_classes(path)


def _largest(path: Path, void: int | None) -> int:
    """The largest value in a label image that is not void; -1 when there is none."""
    values = read_label_map(path)
    known = values if void is None else values[values != void]
    return int(known.max()) if known.numel() else -1


def _numbered(labels: Path, largest: int, void: int | None) -> tuple[ClassLine, ...]:
    if largest < 0:
        raise DataError(
            f"{labels}: every pixel of every label image is void ({void}), so there is nothing to learn."
            " Hint: set data.options.void=VALUE"
        )
    return tuple(ClassLine(f"class_{value}") for value in range(largest + 1) if value != void)


def _palette_of(path: Path, table: Mapping[int, int], count: int) -> tuple[Color, ...] | None:
    """The colors that a label image with a palette shows the classes in."""
    try:
        with Image.open(path) as image:
            flat = image.getpalette() if image.mode == "P" else None
    except (OSError, UnidentifiedImageError):
        return None
    if flat is None:
        return None
    value_of = {index: value for value, index in table.items()}
    places = [3 * value_of[index] for index in range(count)]
    colors = [(flat[place], flat[place + 1], flat[place + 2]) for place in places if place + 2 < len(flat)]
    return tuple(colors) if len(colors) == count else None


def _is_color(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in ("RGB", "RGBA")
    except (OSError, UnidentifiedImageError):
        return False  # a damaged file is reported when it is read
