"""Finds the annotation file, the PNGs and the images of a split, and reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from toolkit.config import Settings
from toolkit.data.dataset import Dataset
from toolkit.data.images import read_image
from toolkit.data.segments import PANOPTIC, ThingClasses
from toolkit.errors import DataError
from toolkit.formats.coco_files import LOST, image_paths, root_and_file
from toolkit.formats.coco_numbers import CocoNumbered
from toolkit.formats.coco_panoptic_file import PanopticFile
from toolkit.formats.image_paths import ImagePaths, portable_names
from toolkit.formats.regions import unique_ids
from toolkit.types import VOID, Instances, PanopticMap, Sample

PATTERNS = ("annotations/panoptic_{}*.json", "panoptic_{}*.json", "annotations/{}.json", "{}.json")
"""Where to search for the annotations of a split, in this order."""


class CocoPanopticSettings(Settings):
    """Options for reading a dataset in COCO's panoptic format."""

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
    segments: str = ""
    """Folder of the PNGs, in the same way; if empty, the one next to the annotation file with the same name.
    """
    only: Literal["all", "things"] = "all"
    """Which classes to use: all, or only those of things, to train a detector; with `things` there are
    objects, but no label map and no segments.
    """


def build(folder: Path, split: str, settings: CocoPanopticSettings) -> CocoPanoptic:
    """One split of the dataset in ``folder``, which may also be an annotation file.

    Raises:
        DataError: when the annotation file cannot be used.
        MissingSplitError: when there is no annotation file for this split.
    """
    folder, path = root_and_file(folder, split, getattr(settings, split), PATTERNS)
    pictures = folder / settings.segments.replace("{split}", split) if settings.segments else None
    file = PanopticFile(path, pictures)
    names = [image.file_name for image in file.images]
    paths = image_paths(folder, split, path, names, settings.images)
    return CocoPanoptic(file, paths, only_things=settings.only == "things")


class CocoPanoptic(Dataset, ThingClasses, CocoNumbered):
    """One split: the images of the annotation file in its order.

    Args:
        file: the annotations.
        paths: the images.
        only_things: whether to leave out stuff.

    Raises:
        DataError: when only things are requested, and no category is one.
    """

    def __init__(self, file: PanopticFile, paths: ImagePaths, *, only_things: bool) -> None:
        self._file, self._paths, self._only_things = file, paths, only_things
        self.classes = file.things if only_things else file.classes
        self.thing_classes = file.things
        if not self.classes:
            what = "of things (isthing: 1)" if only_things else "at all"
            raise DataError(f"{file.path} has no category {what}. Hint: correct the file")
        self._use(range(len(file.images)))

    def _use(self, places: Iterable[int]) -> None:
        """Use these images of the file, given by their positions in it."""
        self._places = [*places]
        names = [self._name(place) for place in self._places]
        self.ids = unique_ids(portable_names(names))
        numbers = [self._file.images[place].id for place in self._places]
        by_label = {each.label: key for key, each in self._file.categories.items()}
        keys = [by_label[self._file.classes.index(name)] for name in self.classes]
        # As COCO's own; ids that are text cannot be used in results files.
        if all(isinstance(key, int) for key in (*numbers, *keys)):
            self.coco_category_ids = keys
            self.coco_image_ids = dict(zip(self.ids, numbers, strict=True))

    def _name(self, place: int) -> str:
        return str(self._file.images[place].file_name)

    def require_images(self) -> None:
        """Check whether the first image exists; if errors are being collected, whether all do, and continue
        without the missing ones.
        """
        there = self._paths.require_all([*map(self._name, self._places)], LOST)
        if len(there) < len(self._places):
            self._use([self._places[place] for place in there])

    def __getitem__(self, index: int) -> Sample:
        """Read one image with its segments, its label map and its things as objects."""
        place = self._places[index]
        path = self._paths.require(self._name(place))
        image = read_image(path)
        panoptic = self._file.read(self._file.images[place], (int(image.shape[1]), int(image.shape[2])))
        sample = Sample(self.ids[index], image, path=str(path))
        if self._only_things:
            return sample.with_(instances=self._as_things(panoptic))
        # a label map holds 255 classes
        label_map = panoptic.label_map() if len(self.classes) <= VOID else None
        extras = {PANOPTIC: panoptic}
        return sample.with_(label_map=label_map, instances=panoptic.things(), extras=extras)

    def coco_document(self) -> dict[str, Any] | None:
        """None, because the objects are in the PNGs."""
        return None

    def _as_things(self, panoptic: PanopticMap) -> Instances:
        labels = [self.classes.index(name) if name in self.classes else None for name in self._file.classes]
        return panoptic.relabeled(labels).things()
