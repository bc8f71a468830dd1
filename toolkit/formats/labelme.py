"""Files of LabelMe (https://github.com/wkentaro/labelme): one JSON file per image, with its shapes.

Shapes with the same label and the same ``group_id`` are parts of one object. Coordinates are continuous, as
on LabelMe's canvas: whole numbers lie on the edges of pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit.data.faults import fault, is_gathering
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.class_names import class_index, class_name, class_names
from toolkit.formats.labelme_shapes import region_of_shape
from toolkit.formats.regions import Region, check_stated_size, joined
from toolkit.reading.files import read_text
from toolkit.reading.json_text import load_json
from toolkit.types import Size

LABELS_FILE = "labels.txt"
NO_CLASSES = ("__ignore__", "_background_")
"""Labels that LabelMe reserves for shapes that are not objects; its own lists of labels begin with them."""


@dataclass(frozen=True)
class LabelmeOptions:
    """How shapes are read.

    Attributes:
        classes: class index by name.
        other_shapes: how to handle shapes without an area: points and lines.
        outside: how to handle objects that extend beyond the image.
    """

    classes: Mapping[str, int]
    other_shapes: Literal["error", "skip"] = "error"
    outside: Outside = "error"


def read_labelme(path: Path) -> dict[str, Any]:
    """The contents of a file.

    Raises:
        DataError: when it is not a LabelMe file.
    """
    data = load_json(path, "annotations by LabelMe", DataError)
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("shapes"), list)
        or not isinstance(data.get("imagePath"), str)
    ):
        raise DataError(
            f"{path} is not a LabelMe file: it must contain shapes and imagePath. Hint: remove it from the"
            " folder"
        )
    return data


def labels_of(data: Mapping[str, Any], path: Path) -> set[str]:
    """The classes that the shapes of a file name.

    Raises:
        DataError: when a shape has no label.
    """
    found = set()
    for index, shape in enumerate(data["shapes"]):
        label = shape.get("label") if isinstance(shape, dict) else None
        try:
            found.add(class_name(label, f"{path}: shape {index}"))
        except DataError:
            # If errors are being collected, this one is reported when the shapes are read.
            if not is_gathering():
                raise
    return found - {*NO_CLASSES}


def read_labels(path: Path) -> tuple[str, ...]:
    """The classes that a list of labels names, one per line.

    Raises:
        DataError: when it cannot be read, names no class, or names one twice.
    """
    lines = [line.strip() for line in read_text(path, "one label per line", DataError).splitlines()]
    names = class_names((line for line in lines if line and line not in NO_CLASSES), str(path))
    if not names:
        raise DataError(f"{path} names no labels. Hint: write each label on its own line")
    return names


def labelme_regions(data: dict[str, Any], size: Size, path: Path, options: LabelmeOptions) -> list[Region]:
    """The objects of an image, in the order of their first shapes.

    Args:
        data: from ``read_labelme``.
        size: height and width of the image.
        path: the file, for messages.
        options: the classes, and how to handle unusual shapes.

    Raises:
        DataError: when the file is for an image of another size, a label is not a class, or a shape cannot be
            used.
    """
    # 0 stands for an unknown size, too
    height, width = (None if data.get(key) == 0 else data.get(key) for key in ("imageHeight", "imageWidth"))
    check_stated_size((height, width), size, f"{path}: its image")
    bounds = Bounds(size, options.outside)
    groups: dict[str, tuple[Any, ...]] = {}
    parts: list[Region] = []
    for index, shape in enumerate(data["shapes"]):
        label = shape.get("label") if isinstance(shape, dict) else None
        try:
            part = _part(shape, bounds, f"{path}: shape {index} ({label})", options)
        except DataError as error:
            fault(error)
            continue
        if part is not None:
            group = shape.get("group_id")
            key = (part.label, index) if group is None else (part.label, "group", str(group))
            groups[part.where] = key
            parts.append(part)
    return joined(groups, bounds.finish(parts), size)


def _part(shape: Any, bounds: Bounds, where: str, options: LabelmeOptions) -> Region | None:
    """A shape as a part of an object; None if it is to be left out."""
    if not isinstance(shape, dict):
        raise DataError(f"{where} is not a record, but {type(shape).__name__}. Hint: correct the file")
    label = class_name(shape.get("label"), where)
    if label in NO_CLASSES and label not in options.classes:
        note(f"shapes labeled {label} are left out, because they are not objects")
        return None
    index = class_index(label, options.classes, where, "correct it, or add it to the classes")
    part = region_of_shape(shape, bounds, where, index)
    if part is None and options.other_shapes == "error":
        raise DataError(
            f"{where} is a {shape.get('shape_type')}, which has no area. Hint: remove it, or set"
            " other_shapes=skip"
        )
    if part is None:
        note("points and lines, which have no area, are left out (other_shapes=skip)")
    return part
