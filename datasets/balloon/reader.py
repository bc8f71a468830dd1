"""Reads photos annotated with the VGG Image Annotator, as the balloon set is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from toolkit.config import ImageSettings
from toolkit.data.faults import fault
from toolkit.data.folders import is_data
from toolkit.data.notes import announce, note
from toolkit.data.splits import of_no_split, the_one
from toolkit.errors import MissingSplitError
from toolkit.formats.bounds import CLIPPED
from toolkit.formats.image_paths import ImagePaths, portable_names
from toolkit.formats.pairs import images_in
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.formats.via import ViaOptions, check_one_class, read_via, via_regions
from toolkit.types import Size

ARCHIVE_FOLDER = "balloon"
BALLOON = ("balloon",)


class BalloonSettings(ImageSettings):
    """Options for reading VIA annotations."""

    annotations: str = "via_region_data.json"
    """Name of the VIA file next to the photos of each split; a saved project also works."""
    classes: tuple[str, ...] = Field(BALLOON, min_length=1)
    """Names of the classes."""
    attribute: str = ""
    """Region attribute that contains the class name; if empty, all regions belong to the first class."""
    outside: Literal["error", "clip"] = "error"
    """How to treat objects that extend more than a few pixels beyond the image: as an error, or clip them at
    its border.
    """


def build(folder: Path, split: str, settings: BalloonSettings) -> Balloons:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the annotations cannot be read, or name photos that do not exist.
        MissingSplitError: when there is no folder for this split.
    """
    for root in (folder, folder / ARCHIVE_FOLDER):
        own = the_one(_folders(root), split, str(root), "put the photos of the split into one folder")
        if own is not None:
            if settings.outside == "clip":
                announce(CLIPPED, "outside", "clip")
            return Balloons(own, settings, split)
    raise MissingSplitError(
        f"{folder} has no folder {split}/. Hint: put the photos of the split there, with"
        f" {settings.annotations}"
    )


def unread(folder: Path, settings: BalloonSettings) -> list[str]:
    """The folders with annotations that belong to no split."""
    found = []
    for root in (folder, folder / ARCHIVE_FOLDER):
        folders = _folders(root)
        with_file = [name for name in folders if (folders[name] / settings.annotations).is_file()]
        found += [(root / name).relative_to(folder).as_posix() for name in of_no_split(with_file)]
    return [f"{name}/{settings.annotations}" for name in found]


def _folders(root: Path) -> dict[str, Path]:
    """The folders in a folder, by name."""
    there = sorted(root.iterdir()) if root.is_dir() else []
    return {path.name: path for path in there if is_data(path.name) and path.is_dir()}


class Balloons(RegionDataset):
    """One split: the photos that the VIA file names, in its order."""

    def __init__(self, folder: Path, settings: BalloonSettings, split: str) -> None:
        self._file = folder / settings.annotations
        images = read_via(self._file)
        if not settings.attribute and settings.classes == BALLOON:
            check_one_class(images, self._file, settings.classes[0])
        paths = ImagePaths(self._file, [image.file_name for image in images], [folder], folder, split=split)
        found = {image.file_name: paths.find(image.file_name) for image in images}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            fault(paths.lost(missing, "unpack the whole archive, or put them next to it"))
        self._images = [image for image in images if found[image.file_name] is not None]
        self._paths = [path for path in found.values() if path is not None]
        named = {path.resolve() for path in self._paths}
        unnamed = [path for path in images_in(folder) if path.resolve() not in named]
        note(f"photos that {self._file.name} does not list are left out", len(unnamed), log=True)
        self._options = ViaOptions(settings.classes, settings.attribute, settings.outside)
        self.classes = settings.classes
        self.ids = unique_ids(portable_names([image.file_name for image in self._images]))

    def image_path(self, index: int) -> Path:
        """The photo."""
        return self._paths[index]

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the photo."""
        return via_regions(self._images[index], size, self._file, self._options)
