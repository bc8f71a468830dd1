"""Files of LabelMe (https://github.com/wkentaro/labelme): one JSON an image, with its shapes.

Shapes of one label and one ``group_id`` are parts of one object. Coordinates are continuous, as on LabelMe's
canvas: whole numbers lie on the edges of pixels.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from toolkit.data.faults import fault
from toolkit.errors import DataError
from toolkit.formats.regions import Region, ellipse, numbers, polygon, read_json, rectangle
from toolkit.types import Masks, Size

LABELS_FILE = "labels.txt"
NO_CLASSES = ("__ignore__", "_background_")
"""Lines that LabelMe's own lists of labels begin with; no object has them."""


def read_labelme(path: Path) -> dict[str, Any]:
    """The contents of a file.

    Raises:
        DataError: when it is no file of LabelMe, or a shape has no label.
    """
    data = read_json(path, "annotations by LabelMe")
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("shapes"), list)
        or not isinstance(data.get("imagePath"), str)
    ):
        raise DataError(
            f"{path} is not a file of LabelMe: it must hold shapes and imagePath. Hint: remove it from the"
            " folder"
        )
    for index, shape in enumerate(data["shapes"]):
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            raise DataError(f"{path}: shape {index} has no label. Hint: give it one")
    return data


def read_labels(path: Path) -> tuple[str, ...]:
    """The classes that a list of labels names, one a line.

    Raises:
        DataError: when it cannot be read, names none, or one twice.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as a list of labels: {error}. Hint: write one a line, in UTF-8"
        ) from error
    names = tuple(line for line in lines if line and line not in NO_CLASSES)
    if not names or len(set(names)) < len(names):
        raise DataError(
            f"{path} names {'a label twice' if names else 'no labels'}. Hint: write each label on a line of"
            " its own"
        )
    return names


def labelme_regions(
    data: dict[str, Any],
    size: Size,
    path: Path,
    labels: Mapping[str, int],
    other_shapes: Literal["error", "skip"],
) -> list[Region]:
    """The objects of an image, in the order of their first shapes.

    Args:
        data: from ``read_labelme``.
        size: of the image.
        path: the file, for messages.
        labels: class index by name.
        other_shapes: what becomes of shapes without an area: points and lines.

    Raises:
        DataError: when the file is of an image of another size, a label is no class, or a shape cannot be
            used.
    """
    said = (data.get("imageHeight") or size[0], data.get("imageWidth") or size[1])
    if said != size:
        raise DataError(
            f"{path} is of an image of {said[1]} x {said[0]} pixels, but its image has {size[1]} x {size[0]}."
            " Hint: annotate the image as it is now, or put back the one that was annotated"
        )
    objects: dict[Any, list[Region]] = {}
    for index, shape in enumerate(data["shapes"]):
        label, group = shape["label"], shape.get("group_id")
        try:
            part = _checked_part(shape, size, f"{path}: shape {index} ({label})", labels, other_shapes)
        except DataError as error:
            fault(error)
            continue
        if part is not None:
            objects.setdefault((label, index) if group is None else (label, "group", str(group)), []).append(
                part
            )
    return [_joined(parts, size) for parts in objects.values()]


def _checked_part(
    shape: dict[str, Any],
    size: Size,
    where: str,
    labels: Mapping[str, int],
    other_shapes: Literal["error", "skip"],
) -> Region | None:
    """A shape as a part of an object; None for one without an area that is to be skipped."""
    if shape["label"] not in labels:
        raise DataError(
            f"{where} is of no class; expected one of {', '.join(labels)}. Hint: correct it, or add it to the"
            " classes"
        )
    part = _part(shape, size, where, labels[shape["label"]])
    if part is None and other_shapes == "error":
        raise DataError(
            f"{where} is a {shape.get('shape_type')}, which has no area. Hint: remove it, or set"
            " other_shapes=skip"
        )
    return part


def _part(shape: dict[str, Any], size: Size, where: str, label: int) -> Region | None:
    """One shape as a region; None when it has no area."""
    kind = shape.get("shape_type") or "polygon"  # early versions knew nothing else
    points = shape.get("points")
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 for point in points
    ):
        raise DataError(f"{where}: points must be a list of [x, y]. Hint: correct the file")
    flat = numbers([value for point in points for value in point], where, "points")
    if kind == "polygon":
        return Region(label, where, (polygon(list(flat), size, where),))
    if kind in ("rectangle", "circle", "mask"):
        if len(flat) != 4:
            raise DataError(f"{where}: a {kind} has two points, not {len(flat) // 2}. Hint: draw it again")
        if kind == "rectangle":
            return Region(label, where, (polygon(list(rectangle(*flat)), size, where, "the rectangle"),))
        if kind == "mask":
            return Region(
                label, where, code=_pasted(shape.get("mask"), (int(flat[0]), int(flat[1])), size, where)
            )
        radius = math.hypot(flat[2] - flat[0], flat[3] - flat[1])  # the second point lies on the circle
        return Region(label, where, code=ellipse((flat[0], flat[1]), (radius, radius), 0, size, where))
    if kind in ("point", "points", "line", "linestrip"):
        return None
    raise DataError(
        f"{where} is a {kind!r}, which is unknown; expected polygon, rectangle, circle or mask. Hint: draw"
        " it as one of these"
    )


def _pasted(mask: Any, corner: tuple[int, int], size: Size, where: str) -> bytes:
    """A mask that is a PNG in base 64, with its top-left corner at x, y of the image."""
    try:
        data = base64.b64decode(mask, validate=True)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (TypeError, ValueError, binascii.Error, cv2.error):
        pixels = None
    if pixels is None or pixels.ndim != 2:
        raise DataError(f"{where}: mask must be a gray PNG in base 64. Hint: draw it again")
    (x, y), (height, width) = corner, pixels.shape
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise DataError(
            f"{where}: a mask of {width} x {height} pixels at {x}, {y} reaches out of the image of {size[1]}"
            f" x {size[0]}"
        )
    full = np.zeros(size, bool)
    full[y : y + height, x : x + width] = pixels != 0
    return Masks.from_dense(full[None]).counts[0]


def _joined(parts: list[Region], size: Size) -> Region:
    """The parts of an object as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if all(part.polygons for part in parts):
        return Region(first.label, first.where, tuple(one for part in parts for one in part.polygons))
    union = np.any([Masks(size, (part.counts(size),)).dense()[0].numpy() for part in parts], axis=0)
    return Region(first.label, first.where, code=Masks.from_dense(union[None]).counts[0])
