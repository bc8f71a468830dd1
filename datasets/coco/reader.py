"""Finds the annotation file and the images of a split, and reads them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from toolkit.config import ImageSettings
from toolkit.data.faults import is_gathering
from toolkit.data.notes import announce, note
from toolkit.errors import MissingSplitError
from toolkit.formats.bounds import CLIPPED
from toolkit.formats.coco import CocoFile
from toolkit.formats.coco_files import (
    ALL_SPLITS,
    SPLITS,
    candidates,
    has_all_splits,
    image_paths,
    matching,
    root_and_file,
)
from toolkit.formats.coco_numbers import CocoImages
from toolkit.formats.coco_truth import complete_truth
from toolkit.formats.image_paths import ImagePaths
from toolkit.formats.regions import Region, RegionDataset
from toolkit.types import Size

logger = logging.getLogger("toolkit")

PATTERNS = (
    *("annotations/instances_{}*.json", "annotations/{}.json", "{}/_annotations.coco.json", "{}.json"),
    ALL_SPLITS,
)
"""Where to search for the annotations of a split, in this order."""


class CocoSettings(ImageSettings):
    """Options for reading a dataset in COCO's format."""

    train: str = ""
    """Annotation file of the split `train`, in the dataset's folder; if empty, the usual names are tried."""
    val: str = ""
    """Annotation file of the split `val`, in the same way."""
    test: str = ""
    """Annotation file of the split `test`, in the same way."""
    images: str = ""
    """Folder of the images, in the dataset's folder; `{split}` is replaced with the split; if empty, the
    usual ones are tried.
    """
    degenerate: Literal["error", "skip"] = "error"
    """How to treat objects without an area (a box without width, a polygon of two points): as an error, or
    skip them.
    """
    outside: Literal["error", "clip"] = "error"
    """How to treat objects that extend more than a few pixels beyond the image: as an error, or clip them at
    its border.
    """


def build(folder: Path, split: str, settings: CocoSettings) -> Coco:
    """One split of the dataset in ``folder``, which may also be an annotation file.

    Raises:
        DataError: when the annotation file cannot be used.
        MissingSplitError: when there is no annotation file for this split.
    """
    is_found = folder.is_dir() and not getattr(settings, split)
    folder, path = root_and_file(folder, split, getattr(settings, split), PATTERNS)
    file = CocoFile(path, split if has_all_splits(path) else None)
    if is_found and has_all_splits(path) and not file.states_splits:
        raise MissingSplitError(
            f"{path} does not say which split its images belong to. Hint: set {split}=FILE, or write"
            f' "split": "{split}" into the records of its images'
        )
    if file.states_splits and not file.images and split != "val":  # one may train without validation
        raise MissingSplitError(f"{path} has no images of the split {split!r}")
    if file.group is not None:
        note(f"the category {file.group!r} is not a class, because it only groups the others", log=True)
    if not is_gathering() and not file.has_objects:
        logger.warning(
            "%s has no objects other than crowds, so there is nothing to train on or to evaluate", path
        )
    if settings.degenerate == "skip":
        announce("objects without an area are left out", "degenerate", "skip")
    if settings.outside == "clip":
        announce(CLIPPED, "outside", "clip")
    names = [image.file_name for image in file.images]
    return Coco(file, image_paths(folder, split, path, names, settings.images), settings)


def unread(folder: Path, settings: CocoSettings) -> list[str]:
    """The annotation files in the folder that belong to no split."""
    if folder.is_file():
        return []
    read = {folder / getattr(settings, split) for split in SPLITS}
    for split in SPLITS:
        if not getattr(settings, split):
            read |= {*candidates(folder, split, PATTERNS)[:1]}
    patterns = ("annotations/*.json", "*/_annotations.coco.json", "*.json")
    there = {path for pattern in patterns for path in matching(folder, pattern)}
    return [path.relative_to(folder).as_posix() for path in sorted(there - read)]


class Coco(CocoImages, RegionDataset):
    """One split: the images of the annotation file in its order, those without objects too."""

    def __init__(self, file: CocoFile, paths: ImagePaths, settings: CocoSettings) -> None:
        super().__init__(file.images, paths, file.category_ids)
        self._file = file
        self._degenerate, self._outside = settings.degenerate, settings.outside
        self.classes = file.classes
        self.keypoint_names = file.keypoint_names if _name_the_same(file) else ()
        self.num_keypoints = len(file.keypoint_names)

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return self._file.regions(self.places[index], size, self._degenerate, self._outside)

    def coco_document(self) -> dict[str, Any] | None:
        """The completed annotation file; None if the samples have to be read."""
        return complete_truth(self._file.document, self._file.path, self._degenerate, self._outside)


def _name_the_same(file: CocoFile) -> bool:
    """Whether the keypoints of all categories have the same names in the same order."""
    categories = (each for each in file.document["categories"] if isinstance(each, dict))
    lists = [tuple(each["keypoints"]) for each in categories if isinstance(each.get("keypoints"), list)]
    are_text = all(isinstance(name, str) for name in file.keypoint_names)
    return are_text and all(names == file.keypoint_names[: len(names)] for names in lists)
