"""Reads folders of LabelMe files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from toolkit.config import ImageSettings
from toolkit.data.faults import fault, is_gathering, usable
from toolkit.data.folders import data_files, is_data
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.notes import announce, note
from toolkit.data.splits import names_of, of_no_split, the_one
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.bounds import CLIPPED
from toolkit.formats.class_names import class_names
from toolkit.formats.image_paths import ImagePaths
from toolkit.formats.labelme import (
    LABELS_FILE,
    LabelmeOptions,
    labelme_regions,
    labels_of,
    read_labelme,
    read_labels,
)
from toolkit.formats.pairs import images_in
from toolkit.formats.regions import Region, RegionDataset
from toolkit.reading.files import is_there
from toolkit.types import Size

JSON = frozenset({".json"})


class LabelmeSettings(ImageSettings):
    """Options for reading LabelMe files."""

    train: str = "train"
    """Folder of the split `train`, in the dataset's folder."""
    val: str = "val"
    """Folder of the split `val`, in the dataset's folder."""
    test: str = "test"
    """Folder of the split `test`, in the dataset's folder."""
    classes: tuple[str, ...] = ()
    """Class names; if empty, those in `labels.txt`, or, without such a file, all labels of all splits in
    alphabetical order.
    """
    other_shapes: Literal["error", "skip"] = "error"
    """How to treat points and lines, which have no area: as an error, or ignore them."""
    outside: Literal["error", "clip"] = "error"
    """How to treat objects that extend more than a few pixels beyond the image: as an error, or clip them at
    its border.
    """


def build(folder: Path, split: str, settings: LabelmeSettings) -> Labelme:
    """One split of the dataset in ``folder``.

    Raises:
        DataError: when a file is not a LabelMe file.
        MissingSplitError: when there is no folder for this split.
    """
    own = _folder(folder, split, settings)
    if own is None:
        raise MissingSplitError(
            f"{folder / str(getattr(settings, split))} does not exist. Hint: put the files of split {split!r}"
            f" there, or set {split}=FOLDER"
        )
    files = sorted(data_files(own, JSON))
    if not files:
        raise DataError(
            f"{own} contains no LabelMe files (*.json). Hint: put them there, or set {split}=FOLDER"
        )
    classes = class_names(settings.classes, "the setting classes") or _classes(folder, settings)
    if settings.other_shapes == "skip":
        announce("points and lines are left out", "other_shapes", "skip")
    if settings.outside == "clip":
        announce(CLIPPED, "outside", "clip")
    return Labelme(own, files, classes, settings)


def unread(folder: Path, settings: LabelmeSettings) -> list[str]:
    """The folders with LabelMe files that belong to no split."""
    read = {_folder(folder, split, settings) for split in ("train", "val", "test")}
    there = [path for path in sorted(folder.iterdir()) if is_data(path.name) and path.is_dir()]
    left = {path.name: path for path in there if path not in read}
    return [f"{name}/" for name in of_no_split(left) if next(data_files(left[name], JSON), None)]


def _folder(folder: Path, split: str, settings: LabelmeSettings) -> Path | None:
    """The folder of a split, by the name in the settings, or by another name of the split."""
    name = str(getattr(settings, split))
    if name != split:
        return folder / name if (folder / name).is_dir() else None
    found = {name: folder / name for name in names_of(split) if (folder / name).is_dir()}
    return the_one(found, split, str(folder), f"set {split}=FOLDER")


def _classes(folder: Path, settings: LabelmeSettings) -> tuple[str, ...]:
    file = folder / LABELS_FILE
    if is_there(file):
        return read_labels(file)
    folders = (_folder(folder, split, settings) for split in ("train", "val", "test"))
    files = {path for each in folders if each is not None for path in data_files(each, JSON)}
    found = usable(sorted(files), lambda path: labels_of(read_labelme(path), path))
    return tuple(sorted({label for labels in found for label in labels}))


class Labelme(RegionDataset):
    """One split: the images that have a LabelMe file, sorted by name. An image without one has not been
    annotated.
    """

    def __init__(
        self, folder: Path, files: list[Path], classes: tuple[str, ...], settings: LabelmeSettings
    ) -> None:
        self.classes = classes
        labels = {name: index for index, name in enumerate(classes)}
        self._options = LabelmeOptions(labels, settings.other_shapes, settings.outside)
        self._folder = folder
        self._use(files)

    def _use(self, files: Iterable[Path]) -> None:
        self._files = [*files]
        self.ids = tuple(path.relative_to(self._folder).with_suffix("").as_posix() for path in self._files)

    def require_images(self) -> None:
        """If errors are being collected, check that all images exist and have one file each, and continue
        without the others.
        """
        if not is_gathering():
            return
        images = {file: path for file, path in usable(self._files, lambda file: (file, self._image_of(file)))}
        by_image: dict[Path, list[Path]] = {}
        for file, path in images.items():
            by_image.setdefault(path.resolve(), []).append(file)
        for path, files in by_image.items():
            if len(files) > 1:
                names = " and ".join(map(str, files))
                fault(
                    DataError(f"{names} belong to the same image, {path}. Hint: remove all but one of them")
                )
        unannotated = [path for path in images_in(self._folder) if path.resolve() not in by_image]
        note("images without a LabelMe file are left out", len(unannotated))
        self._use(images)

    def image_path(self, index: int) -> Path:
        """The path of the image: the one given in the file, or else one with the same name next to it."""
        return self._image_of(self._files[index])

    def _image_of(self, file: Path) -> Path:
        """The image of a LabelMe file.

        Raises:
            DataError: when there is none, or if the file names one image but has the name of another.
        """
        name = str(read_labelme(file)["imagePath"])
        paths = ImagePaths(file, [name], [file.parent], self._folder)
        said, beside = paths.as_written(name), _images_of_same_name(file)
        if said is not None:
            if beside and said.stem != file.stem:
                raise DataError(
                    f"{file} names the image {name}, but {beside[0].name} has the same name as the file,"
                    " and both exist. Hint: set imagePath to the one that was annotated, and name the file"
                    " after it"
                )
            return said
        if len(beside) > 1:
            raise DataError(
                f"{file} names the image {name}, which does not exist, and {len(beside)} images next to it"
                f" have the same name: {', '.join(path.name for path in beside)}. Hint: set imagePath to"
                " the right one"
            )
        return beside[0] if beside else paths.require(name)

    def regions(self, index: int, size: Size) -> list[Region]:
        """The objects of the image."""
        file = self._files[index]
        return labelme_regions(read_labelme(file), size, file, self._options)


def _images_of_same_name(file: Path) -> list[Path]:
    """The images next to a file that have its name, each only once on case-insensitive disks."""
    found: dict[tuple[int, int], Path] = {}
    for suffix in sorted(IMAGE_SUFFIXES):
        for name in (suffix, suffix.upper(), suffix.title()):
            path = file.with_name(f"{file.stem}{name}")
            if path.is_file():
                status = path.stat()
                found.setdefault((status.st_dev, status.st_ino), path)
    return [*found.values()]
