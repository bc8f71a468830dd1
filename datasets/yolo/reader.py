"""Reads segments, boxes and poses in YOLO format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from toolkit.config import ImageSettings
from toolkit.data.notes import announce
from toolkit.formats.bounds import CLIPPED
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.formats.yolo import YoloSet, find_images, others, read_data_yaml
from toolkit.formats.yolo_label_files import LabelFiles
from toolkit.formats.yolo_labels import yolo_regions
from toolkit.types import Size


class YoloSettings(ImageSettings):
    """Options for reading segments in YOLO format."""

    file: str = "data.yaml"
    """File in the dataset's folder that lists the classes and the image folders."""
    outside: Literal["error", "clip"] = "error"
    """How to treat objects that extend more than a few pixels beyond the image: as an error, or clip them at
    its border.
    """


def build(folder: Path, split: str, settings: YoloSettings) -> Yolo:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when `data.yaml` cannot be used, lists folders that do not exist or are empty, or images
            and label files do not match.
        MissingSplitError: when it does not list this split.
    """
    yolo = read_data_yaml(folder / settings.file)
    images, names = find_images(yolo, split)
    if settings.outside == "clip":
        announce(CLIPPED, "outside", "clip")
    return Yolo(yolo, images, names, LabelFiles(images, folder), settings.outside)


def unread(folder: Path, settings: YoloSettings) -> list[str]:
    """What in the folder belongs to no split."""
    return others(read_data_yaml(folder / settings.file))


class Yolo(RegionDataset):
    """One split: all images of its folder, by name; those without a label file have no objects."""

    def __init__(
        self,
        yolo: YoloSet,
        images: list[Path],
        names: list[str],
        labels: LabelFiles,
        outside: Literal["error", "clip"],
    ) -> None:
        self.classes = yolo.classes
        self.ids = unique_ids(names)
        self.num_keypoints = 0 if yolo.keypoints is None else yolo.keypoints[0]
        self._yolo = yolo
        self._images = images
        self._labels = labels
        self._outside = outside

    def image_path(self, index: int) -> Path:
        """The image."""
        return self._images[index]

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return yolo_regions(self._labels.of(self._images[index]), size, self._yolo, self._outside)
