"""Finds the annotation file and the images of a split, and reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from toolkit.config import Settings
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.coco import CocoFile
from toolkit.formats.coco_numbers import CocoNumbered
from toolkit.formats.coco_truth import complete_truth
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.types import Size

SPLITS = ("train", "val", "test")
ANNOTATIONS = "annotations"

PATTERNS = ("annotations/instances_{}*.json", "annotations/{}.json", "{}/_annotations.coco.json", "{}.json")
"""Where the annotations of a split are looked for, in this order."""


class CocoSettings(Settings):
    """How a dataset in COCO's format is read."""

    train: str = ""
    """Annotation file of the split `train`, in the dataset's folder; when empty, it is looked for under the
    usual names.
    """
    val: str = ""
    """Annotation file of the split `val`, likewise."""
    test: str = ""
    """Annotation file of the split `test`, likewise."""
    images: str = ""
    """Folder of the images, in the dataset's folder, in which `{split}` stands for the split; when empty, the
    usual ones are tried.
    """
    degenerate: Literal["error", "skip"] = "error"
    """What becomes of objects without an area (a box without width, a polygon of two points): a fault, or
    left out.
    """


def build(folder: Path, split: str, settings: CocoSettings) -> Coco:
    """One split of the dataset in ``folder``, which may also be an annotation file.

    Raises:
        DataError: when the annotation file cannot be used.
        MissingSplitError: when there is no annotation file of this split.
    """
    if folder.is_file():
        path, folder = _one_file(folder, split), folder.parent
        folder = folder.parent if folder.name == ANNOTATIONS else folder
    else:
        path = _annotation_file(folder, split, getattr(settings, split))
    file = CocoFile(path)
    find = partial(_image_folder, folder, split, file, settings.images)
    return Coco(file, find, settings.degenerate)


def _one_file(path: Path, split: str) -> Path:
    """The file itself, unless its name says that it is of another split."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    named = [name for name in SPLITS if name in words]
    if named and split not in named:
        raise MissingSplitError(
            f"{path} is named after the split {named[0]!r}, so it has no {split!r}. Hint: say --split"
            f" {named[0]}, or name the folder that has the files of all splits"
        )
    return path


def _annotation_file(folder: Path, split: str, name: str) -> Path:
    if name:
        return folder / name
    for pattern in PATTERNS:
        found = sorted(folder.glob(pattern.format(split)))
        if len(found) > 1:
            names = ", ".join(path.relative_to(folder).as_posix() for path in found)
            raise DataError(
                f"{folder} has more than one annotation file of the split {split!r}: {names}. Hint: set"
                f" {split}=FILE"
            )
        if found:
            return found[0]
    tried = ", ".join(pattern.format(split) for pattern in PATTERNS)
    raise MissingSplitError(
        f"{folder} has no annotations of the split {split!r}: none of {tried}. Hint: set {split}=FILE"
    )


def _image_folder(folder: Path, split: str, file: CocoFile, setting: str) -> Path:
    """The folder that has the first image; ``instances_train2017.json`` belongs to ``train2017/``."""
    stem = file.path.stem.rpartition("_")[2]
    usual = dict.fromkeys((stem, split, f"images/{stem}", f"images/{split}", "images", "."))
    tried = [folder / name for name in ([setting.format(split=split)] if setting else [*usual])] + (
        [] if setting else [file.path.parent]
    )
    if not file.images:
        return tried[0]
    first = file.images[0]["file_name"]
    for path in tried:
        if (path / first).is_file():
            return path
    names = ", ".join(str(path) for path in tried)
    raise DataError(
        f"{file.path} names the image {first}, which is in none of {names}. Hint: put the images there, or"
        " set data.options.images=FOLDER"
    )


class Coco(RegionDataset, CocoNumbered):
    """One split: the images of the annotation file in its order, those without objects too."""

    def __init__(
        self, file: CocoFile, find_folder: Callable[[], Path], degenerate: Literal["error", "skip"]
    ) -> None:
        self.classes = file.classes
        self.ids = unique_ids([image["file_name"] for image in file.images])
        self.keypoint_names = file.keypoint_names if _name_the_same(file) else ()
        self.num_keypoints = len(file.keypoint_names)
        numbered = all(
            isinstance(key, int) for key in (*file.category_ids, *(image["id"] for image in file.images))
        )
        if numbered:  # as COCO's own; ids that are text cannot stand in files of results
            self.coco_category_ids = file.category_ids
            self.coco_image_ids = {one: image["id"] for one, image in zip(self.ids, file.images, strict=True)}
        self._file = file
        self._find_folder = find_folder
        self._degenerate = degenerate

    @cached_property
    def _folder(self) -> Path:
        """Where the images are; looked for when the first is wanted."""
        return self._find_folder()

    def require_images(self) -> None:
        """Look whether the first image is there."""
        _ = self._folder

    def image_path(self, index: int) -> Path:
        """The image."""
        return self._folder / str(self._file.images[index]["file_name"])

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return self._file.regions(index, size, self._degenerate)

    def coco_document(self) -> dict[str, Any] | None:
        """The annotation file, complete; None where it does not give the sizes of the images."""
        return complete_truth(self._file.document, self._file.path, self._degenerate)


def _name_the_same(file: CocoFile) -> bool:
    """Whether the first keypoint of each category is the same, and so on."""
    categories = (each for each in file.document["categories"] if isinstance(each, dict))
    lists = [tuple(each["keypoints"]) for each in categories if isinstance(each.get("keypoints"), list)]
    are_text = all(isinstance(name, str) for name in file.keypoint_names)
    return are_text and all(names == file.keypoint_names[: len(names)] for names in lists)
