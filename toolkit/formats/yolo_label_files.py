"""Which label file belongs to each image in YOLO's layout: labels are where the last ``images`` in an image's
path is replaced by ``labels``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from toolkit.data.faults import fault
from toolkit.data.folders import data_files, is_data
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.pairs import listed

_LABEL_LINE = re.compile(r"\s*[\d.]+(\s+[-+.\deE]+){4,}\s*")


class LabelFiles:
    """Finds the label file of each image of a split.

    Args:
        images: the images.
        root: the folder below which to search for label files in the wrong folder.

    Raises:
        DataError: when no image has a label file, label files of some are in the wrong folder, or label files
            have no image.
    """

    def __init__(self, images: Sequence[Path], root: Path) -> None:
        self._folders: dict[Path, Path] = {}
        self._labels: dict[Path, dict[str, Path]] = {}
        self._root = root
        missing = [image for image in images if image.stem not in self._in_folder_of(image)]
        if missing and not self._are_elsewhere(missing) and len(missing) == len(images):
            fault(
                DataError(
                    f"none of the {len(images)} images has a label file; expected, for example,"
                    f" {self.of(images[0])} for {images[0]}. Hint: put the label files there (an empty one"
                    " for an image without objects), or correct data.yaml"
                )
            )
        note("images without a label file, which count as images without objects", len(missing), log=True)
        for folder in sorted({image.parent for image in images}):
            self._check_alone(folder)

    def of(self, image: Path) -> Path:
        """The label file of an image, whether it exists or not; next to the image, if no part of its path is
        called ``images``.
        """
        there = self._in_folder_of(image)
        return there.get(image.stem, self._folders[image.parent] / f"{image.stem}.txt")

    def _in_folder_of(self, image: Path) -> dict[str, Path]:
        """The label files in the folder where that of an image belongs, by name; each folder is read once."""
        if image.parent not in self._folders:
            self._folders[image.parent] = label_folder(image.parent)
        labels = self._folders[image.parent]
        if labels not in self._labels:
            there = sorted(labels.iterdir()) if labels.is_dir() else []
            self._labels[labels] = {
                path.stem: path for path in there if path.suffix.lower() == ".txt" and is_data(path.name)
            }
        return self._labels[labels]

    def _are_elsewhere(self, missing: Sequence[Path]) -> bool:
        """Whether there are label files of these images in the wrong folder; reports an error that names
        them.
        """
        wanted = {image.stem: image for image in missing}
        found = []
        for path in data_files(self._root, frozenset({".txt"})):
            if path.stem in wanted and _is_alone(path):
                image = wanted.pop(path.stem)
                found.append(f"{path}, for {image} expected at {self.of(image)}")
        if found:
            what = listed("label files in the wrong folder", found)
            fault(DataError(f"{what}. Hint: move them to the folder where they are expected"))
        return bool(found)

    def _check_alone(self, folder: Path) -> None:
        """Report label files whose image is missing."""
        labels = self._folders[folder]
        stems = {path.stem for path in folder.iterdir()} if folder != labels else _image_stems(folder)
        alone = [
            path.name
            for stem, path in self._labels[labels].items()
            if stem not in stems and _is_label_file(path)
        ]
        if alone:
            what = listed(f"label files in {labels} without an image in {folder}", alone)
            hint = "rename them like their images, put the images there, or remove them"
            fault(DataError(f"{what}. Hint: {hint}"))


def label_folder(folder: Path) -> Path:
    """The folder of the label files of the images in a folder: the last part that is called ``images``, in
    any case, replaced by ``labels``, in the case in which it exists.
    """
    parts = folder.parts
    for position in range(len(parts) - 1, -1, -1):
        if parts[position].lower() == "images":
            above = Path(*parts[:position])
            return above.joinpath(_named(above, "labels"), *parts[position + 1 :])
    return folder


def _named(folder: Path, name: str) -> str:
    """The name of a folder as written on this disk: ``Labels`` for ``labels``, if only that exists."""
    try:
        there = [path.name for path in folder.iterdir() if path.name.lower() == name]
    except OSError:
        return name
    return name if name in there or not there else sorted(there)[0]


def _image_stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}


def _is_alone(label: Path) -> bool:
    """Whether a file looks like labels, and there is no image for it where it would have to be."""
    folders = [label.parent]
    for position in range(len(label.parts) - 2, -1, -1):
        if label.parts[position].lower() == "labels":
            above = Path(*label.parts[:position])
            folders.append(above.joinpath(_named(above, "images"), *label.parts[position + 1 : -1]))
            break
    stems = {stem for folder in folders if folder.is_dir() for stem in _image_stems(folder)}
    return label.stem not in stems and _is_label_file(label)


def _is_label_file(path: Path) -> bool:
    """Whether the first nonempty line describes an object; false for ``classes.txt`` and ``README.txt``."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
    except (OSError, UnicodeDecodeError):
        return False
    return _LABEL_LINE.fullmatch(first) is not None
