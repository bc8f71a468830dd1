"""Finds the annotation file, the PNGs and the images of a split, and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from toolkit.config import ImageSettings
from toolkit.data.dataset import Dataset
from toolkit.data.segments import PANOPTIC, ThingClasses
from toolkit.errors import DataError
from toolkit.formats.coco_files import image_paths, root_and_file
from toolkit.formats.coco_numbers import CocoImages
from toolkit.formats.coco_panoptic_file import PanopticFile
from toolkit.formats.image_paths import ImagePaths
from toolkit.types import VOID, Instances, PanopticMap, Sample

PATTERNS = ("annotations/panoptic_{}*.json", "panoptic_{}*.json", "annotations/{}.json", "{}.json")
"""Where to search for the annotations of a split, in this order."""


class CocoPanopticSettings(ImageSettings):
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


class CocoPanoptic(CocoImages, Dataset, ThingClasses):
    """One split: the images of the annotation file in its order.

    Args:
        file: the annotations.
        paths: the images.
        only_things: whether to leave out stuff.

    Raises:
        DataError: when only things are requested, and no category is one.
    """

    def __init__(self, file: PanopticFile, paths: ImagePaths, *, only_things: bool) -> None:
        self._file, self._only_things = file, only_things
        self.classes = file.things if only_things else file.classes
        self.thing_classes = file.things
        if not self.classes:
            what = "of things (isthing: 1)" if only_things else "at all"
            raise DataError(f"{file.path} has no category {what}. Hint: correct the file")
        by_label = {each.label: key for key, each in file.categories.items()}
        keys = [by_label[file.classes.index(name)] for name in self.classes]
        super().__init__(file.images, paths, keys)

    def __getitem__(self, index: int) -> Sample:
        """Read one image with its segments, its label map and its things as objects."""
        path = self.image_path(index)
        image = self.read_image(path)
        sample = Sample(self.ids[index], image, path=str(path))
        panoptic = self._file.read(self._file.images[self.places[index]], sample.size)
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
