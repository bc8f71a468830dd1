"""Reads photos annotated with the VGG Image Annotator, as the balloon set is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from toolkit.config import Settings
from toolkit.data.faults import fault
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.pairs import some
from toolkit.formats.regions import Region, RegionDataset, unique_ids
from toolkit.formats.via import read_via, via_regions
from toolkit.types import Size

ARCHIVE_FOLDER = "balloon"


class BalloonSettings(Settings):
    """How VIA's annotations are read."""

    annotations: str = "via_region_data.json"
    """Name of the VIA file beside the photos of each split; a saved project works, too."""
    classes: tuple[str, ...] = Field(("balloon",), min_length=1)
    """Names of the classes."""
    attribute: str = ""
    """Region attribute that has the name of the class; when empty, every region is of the first class."""


def build(folder: Path, split: str, settings: BalloonSettings) -> Balloons:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when the annotations cannot be read, or name photos that are not there.
        MissingSplitError: when there is no folder of this split.
    """
    root = next((path for path in (folder, folder / ARCHIVE_FOLDER) if (path / split).is_dir()), None)
    if root is None:
        raise MissingSplitError(
            f"{folder} has no folder {split}/. Hint: put the photos of the split there, with"
            f" {settings.annotations}"
        )
    return Balloons(root / split, settings)


class Balloons(RegionDataset):
    """One split: the photos that the VIA file names, in its order."""

    def __init__(self, folder: Path, settings: BalloonSettings) -> None:
        self._file = folder / settings.annotations
        images = read_via(self._file)
        missing = [image.file_name for image in images if not (folder / image.file_name).is_file()]
        if missing:
            what = f"{self._file} names {len(missing)} photos that are not beside it"
            fault(DataError(f"{what}: {some(missing)}. Hint: unpack the whole archive"))
        self._images = [image for image in images if image.file_name not in missing]
        self._attribute = settings.attribute
        self.classes = settings.classes
        self.ids = unique_ids([image.file_name for image in self._images])

    def image_path(self, index: int) -> Path:
        """The photo."""
        return self._file.parent / self._images[index].file_name

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the photo."""
        return via_regions(self._images[index], size, self._file, self.classes, self._attribute)
