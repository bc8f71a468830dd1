"""YOLO's ``data.yaml`` (https://docs.ultralytics.com/datasets/segment/), which names the classes and where
the images are. ``toolkit.formats.yolo_label_files`` says which label file belongs to each, and
``toolkit.formats.yolo_labels`` reads one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.data.faults import fault
from toolkit.data.splits import NAMES, the_one
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.class_names import class_names
from toolkit.formats.image_paths import ImagePaths, portable, portable_names, readings, ways_to_split
from toolkit.formats.pairs import images_in, read_lines
from toolkit.formats.yolo_label_files import label_folder
from toolkit.reading.fields import shown
from toolkit.reading.files import is_file, is_folder
from toolkit.reading.yaml_text import load_yaml
from toolkit.wording import counted

logger = logging.getLogger("toolkit")

SPLIT_KEYS = {name for names in NAMES.values() for name in names}
"""The keys of ``data.yaml`` that list images."""


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
        DataError: when it cannot be read, the names are neither a list nor numbered from 0 without gaps,
            ``nc`` is not their number, ``path`` is not text, or ``kpt_shape`` is not a shape of keypoints.
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
    _check_count(data.get("nc"), len(classes), path)
    _check_base(data.get("path"), path)
    return YoloSet(path, data, classes, _keypoints(data.get("kpt_shape"), path))


def _check_count(stated: Any, classes: int, path: Path) -> None:
    """Check the number of classes that a file states."""
    if stated is None:
        return
    if isinstance(stated, bool) or not isinstance(stated, int):
        raise DataError(
            f"{path}: nc is {shown(stated)}; expected the number of classes. Hint: write nc: {classes}, or"
            " remove the line, which is not needed"
        )
    if stated != classes:
        raise DataError(
            f"{path} says nc: {stated}, but names {counted(classes, 'class', 'classes')}. Hint: correct"
            " one of them; nc is not needed"
        )


def _check_base(base: Any, path: Path) -> None:
    """Check the folder of the dataset that a file names."""
    if base is not None and not isinstance(base, str):
        raise DataError(
            f"{path}: path is {shown(base)}; expected a folder, as text. Hint: write path: . for the folder"
            f" of {path.name}, or put a name of digits in quotes"
        )


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
    base: str = yolo.data.get("path") or "."
    return base


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
