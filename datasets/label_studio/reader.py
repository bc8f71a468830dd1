"""Finds the exported tasks and the images of a split, and reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from toolkit.config import ImageSettings
from toolkit.data.notes import announce
from toolkit.data.splits import names_of
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.bounds import CLIPPED
from toolkit.formats.class_names import class_names
from toolkit.formats.coco_files import LOST, SPLITS, candidates, matching, root_and_file
from toolkit.formats.image_paths import ImagePaths, portable_names
from toolkit.formats.label_config import parse_config
from toolkit.formats.label_studio import (
    LabelStudioOptions,
    LabelStudioTask,
    label_studio_regions,
    labels_of_tasks,
    read_label_studio,
)
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.reading.files import is_there, read_bytes
from toolkit.types import Size

PATTERNS = ("{}/*.json", "annotations/{}.json", "{}.json")
"""Where to search for the tasks of a split, in this order."""
CONFIG_FILE = "config.xml"


class LabelStudioSettings(ImageSettings):
    """Options for reading exports of Label Studio."""

    train: str = ""
    """Export of the split `train`, in the dataset's folder; if empty, the usual names are tried."""
    val: str = ""
    """Export of the split `val`, in the same way."""
    test: str = ""
    """Export of the split `test`, in the same way."""
    images: str = ""
    """Folder of the images, in the dataset's folder; `{split}` is replaced with the split; if empty, the
    usual ones are tried.
    """
    image_key: str = ""
    """Key of a task's data that holds the image; if empty, `image`, or the one that ends like an image."""
    classes: tuple[str, ...] = ()
    """Class names; if empty, the labels in `config.xml`, or, without such a file, all labels of all splits in
    alphabetical order.
    """
    other_shapes: Literal["error", "skip"] = "error"
    """How to treat key points and lines, which have no area: as an error, or ignore them."""
    outside: Literal["error", "clip"] = "error"
    """How to treat objects that extend more than a few pixels beyond the image: as an error, or clip them at
    its border.
    """


def build(folder: Path, split: str, settings: LabelStudioSettings) -> LabelStudio:
    """One split of the dataset in ``folder``, which may also be an exported file.

    Raises:
        DataError: when the export cannot be used.
        MissingSplitError: when there is no export for this split.
    """
    root, path = root_and_file(folder, split, getattr(settings, split), PATTERNS)
    tasks = read_label_studio(path, settings.image_key)
    if not tasks:
        raise DataError(f"{path} has no annotated tasks. Hint: annotate some, and export again")
    classes = class_names(settings.classes, "the setting classes") or _classes(
        folder, root, path, tasks, settings
    )
    if settings.other_shapes == "skip":
        announce("key points and lines are left out", "other_shapes", "skip")
    if settings.outside == "clip":
        announce(CLIPPED, "outside", "clip")
    paths = _image_paths(root, split, path, [task.image for task in tasks], settings.images)
    return LabelStudio(tasks, paths, classes, settings, split)


def unread(folder: Path, settings: LabelStudioSettings) -> list[str]:
    """The exports in the folder that belong to no split."""
    if folder.is_file():
        return []
    read = {folder / getattr(settings, split) for split in SPLITS}
    for split in SPLITS:
        if not getattr(settings, split):
            read |= {*candidates(folder, split, PATTERNS)[:1]}
    there = {
        path for pattern in ("*.json", "annotations/*.json", "*/*.json") for path in matching(folder, pattern)
    }
    return [path.relative_to(folder).as_posix() for path in sorted(there - read)]


def _classes(
    folder: Path, root: Path, path: Path, tasks: list[LabelStudioTask], settings: LabelStudioSettings
) -> tuple[str, ...]:
    """The labels in the configuration, or those of the tasks of all splits."""
    for file in (path.with_name(CONFIG_FILE), root / CONFIG_FILE):
        if is_there(file):
            data = read_bytes(file, "the labeling configuration of Label Studio", DataError)
            return class_names(parse_config(data, str(file)).labels, str(file))
    found = {*labels_of_tasks(tasks)}
    for split in SPLITS if not folder.is_file() else ():
        try:
            other = root_and_file(folder, split, getattr(settings, split), PATTERNS)[1]
        except MissingSplitError:
            continue
        if other != path:
            found |= {*labels_of_tasks(read_label_studio(other, settings.image_key))}
    return tuple(sorted(found))


def _image_paths(root: Path, split: str, path: Path, names: list[str], setting: str) -> ImagePaths:
    """The folders to search for images."""
    if setting:
        own = root / setting.replace("{split}", split)
        return ImagePaths(path, names, [own], own, hint=LOST)
    folders = [
        *(path.parent / "images", path.parent),
        *(root / "images" / name for name in names_of(split)),
        *(root / name for name in names_of(split)),
        *(root / "images", root),
    ]
    return ImagePaths(path, names, [*dict.fromkeys(folders)], root, split=split, hint=LOST)


class LabelStudio(RegionDataset):
    """One split: the images of the annotated tasks, in the order of the export."""

    def __init__(
        self,
        tasks: list[LabelStudioTask],
        paths: ImagePaths,
        classes: tuple[str, ...],
        settings: LabelStudioSettings,
        split: str,
    ) -> None:
        self.classes = classes
        labels = {name: index for index, name in enumerate(classes)}
        self._options = LabelStudioOptions(labels, settings.other_shapes, settings.outside)
        there = paths.require_all([task.image for task in tasks], LOST)
        self._paths = paths
        self._tasks = [tasks[place] for place in there]
        # what Label Studio, or the conversion, puts before the name
        before = re.compile(rf"(data/upload/\d+/|{re.escape(split)}/images/)")
        names = portable_names([task.image for task in self._tasks])
        short = [name[match.end() :] if (match := before.match(name)) else name for name in names]
        self.ids = unique_ids(short if len({*short}) == len(short) else names)

    def image_path(self, index: int) -> Path:
        """The image file."""
        return self._paths.require(self._tasks[index].image)

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return label_studio_regions(self._tasks[index], size, self._options)
