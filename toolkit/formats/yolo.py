"""YOLO's segments (https://docs.ultralytics.com/datasets/segment/): one text file an image, one object a
line.

A line is the class and the points of a polygon, as parts of the image's width and height:
``0 0.1 0.2 0.5 0.2 0.5 0.7``. Four numbers after the class are a box: the center, width and height.
``data.yaml`` names the classes and where the images are; labels are where the last ``images`` in an image's
path is replaced by ``labels``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from toolkit.data.faults import fault, usable
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.errors import DataError, MissingSplitError
from toolkit.formats.regions import Box, Region, polygon
from toolkit.types import Size

_DIGITS = 6  # of a pixel: what dividing by the size and multiplying again may blur is less


def read_data_yaml(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What ``data.yaml`` holds, and the names of the classes.

    Raises:
        DataError: when it cannot be read, or the names are neither a list nor numbered from 0 without gaps.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Hint: write the names of the classes and the folders of"
            " images there"
        ) from error
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise DataError(
            f"{path}: names must be a list of different classes, or number them from 0, not {names!r}."
            " Hint: correct the file"
        )
    return data, tuple(map(str, names))


def find_images(file: Path, data: dict[str, Any], split: str) -> tuple[list[Path], list[str]]:
    """The images of a split, sorted, and their names in its folder.

    An entry of ``data.yaml`` is a folder, a text file that lists images, or a list of either, below ``path``
    or beside ``data.yaml``.

    Raises:
        DataError: when an entry leads nowhere, or to no image.
        MissingSplitError: when there is no entry.
    """
    entries = data.get(split)
    if not entries:
        raise MissingSplitError(
            f"{file} names no images for {split!r}. Hint: add a line '{split}: images/{split}'"
        )
    found: dict[Path, str] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        path = _resolve(file, str(data.get("path") or "."), str(entry))
        if path.is_dir():
            found |= {
                one: one.relative_to(path).as_posix()
                for one in path.rglob("*")
                if one.suffix.lower() in IMAGE_SUFFIXES
            }
        else:
            lines = _lines(path)
            found |= {
                path.parent / line.strip(): Path(line.strip()).as_posix().removeprefix("./")
                for line in lines
                if line.strip()
            }
    if not found:
        raise DataError(f"{file}: {split}: {entries} holds no images. Hint: put them there")
    images = sorted(found)
    owners: dict[Path, Path] = {}
    for path in images:
        other = owners.setdefault(label_file(path), path)
        if other != path:
            fault(
                DataError(
                    f"{other} and {path} share the label file {label_file(path)}, so the objects of one would"
                    " be taken for those of the other. Hint: rename or remove one of the images"
                )
            )
    return images, [found[path] for path in images]


def _resolve(file: Path, base: str, entry: str) -> Path:
    tried = [
        file.parent / base / entry,
        file.parent / entry,
        file.parent / entry.removeprefix("../"),
    ]  # the last is what Roboflow writes
    for path in tried:
        if path.exists():
            return path
    raise DataError(
        f"{file} names {entry}, but there is neither {tried[0]} nor {tried[1]}. Hint: correct its lines"
        f" 'path' and '{entry}'"
    )


def label_file(image: Path) -> Path:
    """The label file of an image; beside it, where no part of the path is called ``images``."""
    parts = list(image.with_suffix(".txt").parts)
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts)


def yolo_regions(path: Path, size: Size, num_classes: int) -> list[Region]:
    """The objects in a label file; none where there is no file.

    Raises:
        DataError: when a line cannot be used; names file and line.
    """
    lines = _lines(path) if path.exists() else []
    numbered = [(n, line.split()) for n, line in enumerate(lines, start=1) if line.strip()]
    return list(usable(numbered, lambda each: _region(each[1], size, f"{path}, line {each[0]}", num_classes)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}. Hint: write it again") from error


def _region(words: list[str], size: Size, where: str, num_classes: int) -> Region:
    try:
        label, values = float(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
        raise DataError(f"{where}: expected numbers, but {error}. Hint: correct it") from error
    if label not in range(num_classes):
        raise DataError(
            f"{where} is of class {words[0]}, but there are only {num_classes} (0…{num_classes - 1}). Hint:"
            " correct it"
        )
    outside = next((value for value in values if not -0.01 <= value <= 1.01), None)
    if outside is not None:
        raise DataError(
            f"{where} has {outside:g}; expected parts of the width and height, 0…1. Hint: divide by the"
            " size of the image"
        )
    if len(values) == 4:
        return Region(int(label), where, box_xyxy=_box(values, size, where))
    flat = [round(value * size[1 - index % 2], _DIGITS) for index, value in enumerate(values)]
    return Region(int(label), where, (polygon(flat, size, where),))


def _box(values: list[float], size: Size, where: str) -> Box:
    (x, y, width, height), (full_h, full_w) = values, size
    x0, y0, x1, y1 = (
        (x - width / 2) * full_w,
        (y - height / 2) * full_h,
        (x + width / 2) * full_w,
        (y + height / 2) * full_h,
    )
    box = (max(0.0, x0), max(0.0, y0), min(float(full_w), x1), min(float(full_h), y1))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise DataError(
            f"{where}: the box {values} has no area in the image. Hint: remove it, or draw it again"
        )
    return box
