"""Finds the annotation file and the images of a split, and reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from toolkit.config import ImageSettings
from toolkit.data.notes import announce
from toolkit.data.splits import names_of, of_no_split, split_of
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.bounds import CLIPPED
from toolkit.formats.class_names import class_names
from toolkit.formats.coco_files import LOST, SPLITS, candidates, matching, root_and_file
from toolkit.formats.cvat import CvatFile, CvatOptions, cvat_regions, labels_of_shapes, read_cvat
from toolkit.formats.image_paths import ImagePaths, portable_names
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.types import Size

PATTERNS = ("{}/annotations.xml", "annotations/{}.xml", "{}.xml")
"""Where to search for the annotations of a split, in this order."""
SHARED = "annotations.xml"
"""The file of a project, whose images say to which subset they belong."""


class CvatSettings(ImageSettings):
    """Options for reading CVAT's files."""

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
    classes: tuple[str, ...] = ()
    """Class names; if empty, the labels of the task in the file, or, if it lists none, those of its objects
    in alphabetical order.
    """
    other_shapes: Literal["error", "skip"] = "error"
    """How to treat points, lines, skeletons and cuboids, which have no area: as an error, or ignore them."""
    outside: Literal["error", "clip"] = "error"
    """How to treat objects that extend more than a few pixels beyond the image: as an error, or clip them at
    its border.
    """


def build(folder: Path, split: str, settings: CvatSettings) -> Cvat:
    """One split of the dataset in ``folder``, which may also be an annotation file.

    Raises:
        DataError: when the annotation file cannot be used.
        MissingSplitError: when there is no annotation file for this split.
    """
    root, file = _root_and_file(folder, split, settings)
    if settings.other_shapes == "skip":
        announce("points, lines, skeletons and cuboids are left out", "other_shapes", "skip")
    if settings.outside == "clip":
        announce(CLIPPED, "outside", "clip")
    names = [image.file_name for image in file.images]
    return Cvat(file, _image_paths(root, split, file, names, settings.images), settings)


def unread(folder: Path, settings: CvatSettings) -> list[str]:
    """The annotation files and subsets in the folder that belong to no split."""
    if folder.is_file():
        return []
    read = {folder / getattr(settings, split) for split in SPLITS}
    for split in SPLITS:
        if not getattr(settings, split):
            read |= {*candidates(folder, split, PATTERNS)[:1]}
    there = {
        path for pattern in ("*.xml", "annotations/*.xml", "*/*.xml") for path in matching(folder, pattern)
    }
    shared = folder / SHARED
    left = [path.relative_to(folder).as_posix() for path in sorted(there - read - {shared})]
    if shared in there and shared not in read:
        subsets = {image.subset for image in read_cvat(shared).images}
        left += [f"{SHARED}: subset {name}" for name in of_no_split(sorted(subsets - {""}))]
    return left


def _root_and_file(folder: Path, split: str, settings: CvatSettings) -> tuple[Path, CvatFile]:
    """The dataset's folder, and the annotations of a split: a file of its own, or the images of its subset in
    the file of a project.
    """
    shared = folder / SHARED
    own = folder.is_file() or getattr(settings, split) or candidates(folder, split, PATTERNS)
    if own or not shared.is_file():
        root, path = root_and_file(folder, split, getattr(settings, split), PATTERNS)
        return root, read_cvat(path)
    file = read_cvat(shared)
    if not any(split_of(image.subset) for image in file.images):
        if split == "train":
            return folder, file
        raise MissingSplitError(
            f"{shared} has no images of a subset {split!r}. Hint: assign images to subsets in CVAT and export"
            f" again, or put the files of the split into {folder / split}"
        )
    images = tuple(image for image in file.images if image.subset.lower() in names_of(split))
    if not images:
        raise MissingSplitError(
            f"{shared} has no images of a subset {split!r}. Hint: assign images to it in CVAT"
        )
    return folder, replace(file, images=images)


def _image_paths(root: Path, split: str, file: CvatFile, names: list[str], setting: str) -> ImagePaths:
    """The folders to search for images: those in which CVAT exports them, and the usual ones."""
    if setting:
        own = root / setting.replace("{split}", split)
        return ImagePaths(file.path, names, [own], own, hint=LOST)
    beside = file.path.parent
    subsets = sorted({image.subset for image in file.images} - {""})
    folders = [
        *(beside / "images" / subset for subset in subsets),
        *(beside / "images", beside),
        *(root / "images" / name for name in names_of(split)),
        *(root / name for name in names_of(split)),
        *(root / "images", root),
    ]
    return ImagePaths(file.path, names, [*dict.fromkeys(folders)], root, split=split, hint=LOST)


class Cvat(RegionDataset):
    """One split: the images of the annotation file in its order, those without objects too."""

    def __init__(self, file: CvatFile, paths: ImagePaths, settings: CvatSettings) -> None:
        if not file.images:
            raise DataError(f"{file.path} names no images. Hint: export the task or project again")
        self.classes = (
            class_names(settings.classes, "the setting classes") or file.labels or labels_of_shapes(file)
        )
        self._options = CvatOptions(
            {name: index for index, name in enumerate(self.classes)}, settings.other_shapes, settings.outside
        )
        there = paths.require_all([image.file_name for image in file.images], LOST)
        self._paths, self._path = paths, file.path
        self._images = [file.images[place] for place in there]
        self.ids = unique_ids(portable_names([image.file_name for image in self._images]))

    def image_path(self, index: int) -> Path:
        """The image file."""
        return self._paths.require(self._images[index].file_name)

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return cvat_regions(self._images[index], size, self._path, self._options)
