"""Reads segments in YOLO format."""

from __future__ import annotations

from pathlib import Path

from toolkit.config import Settings
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.formats.yolo import find_images, label_file, read_data_yaml, yolo_regions
from toolkit.types import Size


class YoloSettings(Settings):
    """Options for reading segments in YOLO format."""

    file: str = "data.yaml"
    """File in the dataset's folder that lists the classes and the image folders."""


def build(folder: Path, split: str, settings: YoloSettings) -> Yolo:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when `data.yaml` cannot be used, or lists folders that do not exist or are empty.
        MissingSplitError: when it does not list this split.
    """
    file = folder / settings.file
    data, classes = read_data_yaml(file)
    return Yolo(classes, *find_images(file, data, split))


class Yolo(RegionDataset):
    """One split: all images of its folder, by name; those without a label file have no objects."""

    def __init__(self, classes: tuple[str, ...], images: list[Path], names: list[str]) -> None:
        self.classes = classes
        self.ids = unique_ids(names)
        self._images = images

    def image_path(self, index: int) -> Path:
        """The image."""
        return self._images[index]

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return yolo_regions(label_file(self._images[index]), size, len(self.classes))
