"""Reads folders of LabelMe files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from toolkit.config import Settings
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.labelme import LABELS_FILE, labelme_regions, read_labelme, read_labels
from toolkit.formats.regions import Region, RegionDataset
from toolkit.types import Size


class LabelmeSettings(Settings):
    """Options for reading LabelMe files."""

    train: str = "train"
    """Folder of the split `train`, in the dataset's folder."""
    val: str = "val"
    """Folder of the split `val`, in the dataset's folder."""
    test: str = "test"
    """Folder of the split `test`, in the dataset's folder."""
    classes: tuple[str, ...] = ()
    """Class names; when empty, those in `labels.txt`, or, without such a file, all labels of all splits in
    alphabetical order.
    """
    other_shapes: Literal["error", "skip"] = "error"
    """How to treat points and lines, which have no area: as an error, or ignore them."""


def build(folder: Path, split: str, settings: LabelmeSettings) -> Labelme:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when a file is not a LabelMe file.
        MissingSplitError: when there is no folder of this split.
    """
    own = folder / str(getattr(settings, split))
    if not own.is_dir():
        raise MissingSplitError(
            f"{own} does not exist. Hint: put the files of split {split!r} there, or set {split}=FOLDER"
        )
    files = sorted(own.rglob("*.json"))
    if not files:
        raise DataError(
            f"{own} contains no LabelMe files (*.json). Hint: put them there, or set {split}=FOLDER"
        )
    folders = (folder / name for name in (settings.train, settings.val, settings.test))
    return Labelme(own, files, settings.classes or _classes(folder, list(folders)), settings.other_shapes)


def _classes(folder: Path, folders: list[Path]) -> tuple[str, ...]:
    file = folder / LABELS_FILE
    if file.is_file():
        return read_labels(file)
    files = {path for each in folders if each.is_dir() for path in each.rglob("*.json")}
    return tuple(sorted({shape["label"] for path in files for shape in read_labelme(path)["shapes"]}))


class Labelme(RegionDataset):
    """One split: the images that have a LabelMe file, sorted by name. An image without one has not been
    annotated.
    """

    def __init__(
        self,
        folder: Path,
        files: list[Path],
        classes: tuple[str, ...],
        other_shapes: Literal["error", "skip"],
    ) -> None:
        self.classes = classes
        self.ids = tuple(path.relative_to(folder).with_suffix("").as_posix() for path in files)
        self._files = files
        self._labels = {name: index for index, name in enumerate(classes)}
        self._other_shapes = other_shapes

    def image_path(self, index: int) -> Path:
        """The path of the image: the one given in the file, or else one with the same name next to it."""
        file = self._files[index]
        said = file.parent / str(self._contents(index)["imagePath"]).replace("\\", "/")
        if said.is_file():
            return said
        beside = (
            path
            for path in sorted(file.parent.glob(f"{file.stem}.*"))
            if path.suffix.lower() in IMAGE_SUFFIXES
        )
        found = next(beside, None)
        if found is None:
            raise DataError(
                f"{file} refers to {said}, which does not exist, and there is no image of that name next to"
                " it. Hint:"
                " put it there"
            )
        return found

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        return labelme_regions(
            self._contents(index), size, self._files[index], self._labels, self._other_shapes
        )

    def _contents(self, index: int) -> dict[str, Any]:
        return read_labelme(self._files[index])
