"""YOLO's segments (https://docs.ultralytics.com/datasets/segment/): which images ``data.yaml`` lists,
and which label file belongs to each.

``data.yaml`` names the classes and where the images are; labels are where the last ``images`` in an image's
path is replaced by ``labels``. ``toolkit.formats.yolo_labels`` reads a label file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.data.faults import fault
from toolkit.data.folders import data_files, is_data
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.notes import note
from toolkit.data.splits import NAMES, the_one
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.class_names import class_names
from toolkit.formats.image_paths import ImagePaths, portable, portable_names, readings, ways_to_split
from toolkit.formats.pairs import images_in, listed, read_lines
from toolkit.reading.fields import shown
from toolkit.reading.files import is_file, is_folder
from toolkit.reading.yaml_text import load_yaml

logger = logging.getLogger("toolkit")

SPLIT_KEYS = {name for names in NAMES.values() for name in names}
"""The keys of ``data.yaml`` that list images."""

_LABEL_LINE = re.compile(r"\s*[\d.]+(\s+[-+.\deE]+){4,}\s*")


@dataclass(frozen=True)
class YoloSet:
    """The contents of ``data.yaml``.

    Attributes:
        path: the file.
        data: all of its values.
        classes: their names.
        keypoints: how many keypoints each object has, and how many numbers each keypoint has (2 or 3); None
            if lines contain polygons and boxes.
    """

    path: Path
    data: dict[str, Any]
    classes: tuple[str, ...]
    keypoints: tuple[int, int] | None = None


def read_data_yaml(path: Path) -> YoloSet:
    """Read ``data.yaml``.

    The names are text as written, regardless of how YAML would interpret them: ``no``, ``007`` and ``1e3``.

    Raises:
        DataError: when it cannot be read, the names are neither a list nor numbered from 0 without gaps, or
            ``kpt_shape`` is not a valid shape of keypoints.
    """
    document = load_yaml(path, "the names of the classes and the folders of images", DataError)
    data = document.value
    if not isinstance(data, dict):
        raise DataError(
            f"{path} contains {shown(data)}; expected names of classes and folders of images. Hint: write"
            " 'names:', 'train:' and 'val:', each on a line"
        )
    names = document.names("names")
    if not names:
        raise DataError(
            f"{path} has no names of classes. Hint: add 'names: [cat, dog]', in the order of their numbers"
        )
    classes = class_names(names, f"{path}: names")
    stated = data.get("nc")
    if isinstance(stated, int) and stated != len(classes):
        raise DataError(
            f"{path} says nc: {stated}, but names {len(classes)} classes. Hint: correct one of them; nc is"
            " not needed"
        )
    return YoloSet(path, data, classes, _keypoints(data.get("kpt_shape"), path))


def _keypoints(shape: Any, path: Path) -> tuple[int, int] | None:
    if shape is None:
        return None
    numbers = shape if isinstance(shape, list) and len(shape) == 2 else []
    whole = [each for each in numbers if isinstance(each, int) and not isinstance(each, bool)]
    if len(whole) != 2 or whole[0] < 1 or whole[1] not in (2, 3):
        raise DataError(
            f"{path}: kpt_shape is {shown(shape)}; expected [KEYPOINTS, 2] or [KEYPOINTS, 3]. Hint: correct"
            " it, or remove it if the lines contain no keypoints"
        )
    return whole[0], whole[1]


def find_images(yolo: YoloSet, split: str) -> tuple[list[Path], list[str]]:
    """The images of a split, sorted, and their names in its folder.

    An entry of ``data.yaml`` is a folder, a text file that lists images, or a list of either, below ``path``
    or next to ``data.yaml``. Files that do not count as data, such as ``._a.jpg``, are skipped.

    Raises:
        DataError: when an entry leads nowhere, or to no images.
        MissingSplitError: when there is no entry.
    """
    given = {name: value for name, value in yolo.data.items() if value is not None and value != []}
    entries = the_one(given, split, str(yolo.path), "remove one of these lines")
    if entries is None:
        raise MissingSplitError(
            f"{yolo.path} lists no images for {split!r}. Hint: add a line '{split}: images/{split}'"
        )
    found: dict[Path, str] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, str):
            raise DataError(
                f"{yolo.path}: {split} contains {shown(entry)}; expected a folder or a file that lists"
                f" images. Hint: write '{split}: images/{split}'"
            )
        path = _resolve(yolo, entry, split)
        found |= _of_folder(path) if path.is_dir() else _of_list(path, yolo, split)
    if not found:
        raise DataError(f"{yolo.path}: {split}: {entries} contains no images. Hint: put them there")
    images = sorted(found)
    owners: dict[Path, Path] = {}
    for path in images:
        label = label_folder(path.parent) / f"{path.stem}.txt"
        other = owners.setdefault(label, path)
        if other != path:
            fault(
                DataError(
                    f"{other} and {path} share the label file {label}, so the objects of one would"
                    " be used for the other. Hint: rename or remove one of the images"
                )
            )
    return images, [found[path] for path in images]


def _of_folder(folder: Path) -> dict[Path, str]:
    return {path: path.relative_to(folder).as_posix() for path in images_in(folder)}


def _of_list(path: Path, yolo: YoloSet, split: str) -> dict[Path, str]:
    """The images that a text file lists: by paths from its own folder, or from that of the dataset."""
    lines = [line.removeprefix("./") for line in read_lines(path)]
    folders = [path.parent, yolo.path.parent / _base(yolo), yolo.path.parent]
    finder = ImagePaths(path, lines, [*dict.fromkeys(folders)], yolo.path.parent, split=split)
    found, lost = {}, []
    for line, name in zip(lines, portable_names(lines), strict=True):
        image = finder.find(line)
        if image is None:
            lost.append(line)
        else:
            found[image] = name
    if lost:
        hint = f"write paths from {path.parent}, and check that the images exist"
        fault(finder.lost(lost, hint))
    return found


def _base(yolo: YoloSet) -> str:
    return str(yolo.data.get("path") or ".")


def _resolve(yolo: YoloSet, entry: str, split: str) -> Path:
    here, base = yolo.path.parent, _base(yolo)
    for reading in readings(entry):
        # The last one is for what Roboflow writes.
        for path in (here / base / reading, here / reading, here / reading.removeprefix("../")):
            if is_file(path) or is_folder(path):
                return path
    by_end = _by_end(yolo, entry)
    if by_end is not None:
        logger.info("%s names %s, a path on another machine; %s is used instead", yolo.path, entry, by_end)
        return by_end
    tried = " nor ".join(dict.fromkeys((str(here / base / entry), str(here / entry))))
    raise DataError(
        f"{yolo.path} names {entry} for {split!r}, but there is no {tried}. Hint: write a path from the"
        f" folder of {yolo.path.name}, such as '{split}: images/{split}'"
    )


def _by_end(yolo: YoloSet, entry: str) -> Path | None:
    """The file or folder below that of ``data.yaml`` that matches the longest end of a path from another
    machine, unless another entry has the same end.
    """
    if portable(entry) == entry:
        return None
    values = {value for name in SPLIT_KEYS if isinstance(value := yolo.data.get(name), str)}
    for parts in ways_to_split(entry):
        for start in range(len(parts)):
            end = parts[start:]
            alike = [v for v in values if any(way[-len(end) :] == end for way in ways_to_split(v))]
            path = yolo.path.parent.joinpath(*end)
            if len(alike) <= 1 and (is_file(path) or is_folder(path)):
                return path
    return None


def others(yolo: YoloSet) -> list[str]:
    """Entries of ``data.yaml`` that look like the images of a split, under a name that is not of a split."""
    known = SPLIT_KEYS | {"path", "names", "download"}
    found = []
    for name, value in yolo.data.items():
        if isinstance(name, str) and name not in known and isinstance(value, str):
            path = yolo.path.parent / _base(yolo) / value
            if value and (is_file(path) or is_folder(path)):
                found.append(f"{yolo.path}: {name}: {value}")
    return found


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
