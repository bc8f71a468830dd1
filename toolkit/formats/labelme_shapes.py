"""The shapes in LabelMe's files, and in those of other tools that write the same format, as regions."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.label_maps import decode_numbers
from toolkit.errors import DataError, ImageError
from toolkit.formats.bounds import Bounds
from toolkit.formats.regions import Region, ellipse, numbers, polygon, rectangle
from toolkit.types import Masks, Size

POLYGONS = ("polygon", "rotation", "oriented_rectangle", "quadrilateral")
"""Shapes whose points are their corners; all except the first are rotated rectangles of other tools."""

WITHOUT_AREA = ("point", "points", "line", "linestrip")


def region_of_shape(shape: dict[str, Any], bounds: Bounds, where: str, label: int) -> Region | None:
    """One shape as a region; None if it has no area.

    Args:
        shape: a record of the file.
        bounds: the bounds of the image.
        where: file and shape, for messages.
        label: the index of the class.

    Raises:
        DataError: when the shape is unknown, or its points or mask cannot be used.
    """
    kind = shape.get("shape_type")
    if kind in (None, ""):  # early versions only had polygons
        kind = "polygon"
    if kind in WITHOUT_AREA:
        return None
    flat = _points(shape.get("points"), where)
    if kind in POLYGONS:
        return Region(label, where, (bounds.look(polygon(list(flat), where), where),))
    if kind == "rectangle":
        return Region(label, where, (bounds.look(_rectangle(flat, where), where),))
    if kind not in ("circle", "mask"):
        raise DataError(
            f"{where} is a {kind!r}, which is unknown; expected polygon, rectangle, circle or mask. Hint:"
            " draw it as one of these"
        )
    if len(flat) != 4:
        raise DataError(f"{where}: a {kind} has two points, not {len(flat) // 2}. Hint: draw it again")
    if kind == "mask":
        return Region(label, where, code=_pasted(shape.get("mask"), flat, bounds.size, where))
    # The second point is on the circle, which may extend beyond the image if an object is cut off.
    bounds.look(flat[:2], where)
    radius = math.hypot(flat[2] - flat[0], flat[3] - flat[1])
    return Region(label, where, code=ellipse((flat[0], flat[1]), (radius, radius), 0, bounds.size, where))


def _points(points: Any, where: str) -> tuple[float, ...]:
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 for point in points
    ):
        raise DataError(f"{where}: points must be a list of [x, y]. Hint: correct the file")
    return numbers([value for point in points for value in point], where, "points")


def _rectangle(flat: Sequence[float], where: str) -> tuple[float, ...]:
    """Two opposite corners, as LabelMe writes them, or all four in order, as X-AnyLabeling does."""
    if len(flat) == 4:
        return rectangle(*flat)
    if len(flat) == 8:
        return tuple(flat)
    raise DataError(
        f"{where}: a rectangle has two points (opposite corners) or four, not {len(flat) // 2}. Hint: draw it"
        " again"
    )


def _pasted(mask: Any, corners: Sequence[float], size: Size, where: str) -> bytes:
    """A mask stored as a PNG in base 64, with its first and last pixel at the two points."""
    pixels = _decoded(mask, where)
    (height, width), (x, y) = pixels.shape, (int(corners[0]), int(corners[1]))
    span = tuple(round(abs(corners[axis + 2] - corners[axis])) + 1 for axis in (0, 1))
    if abs(width - span[0]) > 1 or abs(height - span[1]) > 1:
        raise DataError(
            f"{where}: its mask has {width} x {height} pixels, but its points span {span[0]} x {span[1]}."
            " Hint: the mask and the points have different scales, so draw it again, or export it again"
            " from the present image"
        )
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise DataError(
            f"{where}: a mask of {width} x {height} pixels at {x}, {y} extends beyond the image of {size[1]}"
            f" x {size[0]}. Hint: draw it again on the present image"
        )
    full = np.zeros(size, bool)
    full[y : y + height, x : x + width] = pixels != 0
    return Masks.from_dense(full[None]).counts[0]


def _decoded(mask: Any, where: str) -> NDArray[Any]:
    try:
        return decode_numbers(base64.b64decode(mask, validate=True), f"{where}: mask")
    except (TypeError, ValueError, binascii.Error, ImageError) as error:
        raise DataError(f"{where}: mask must be a gray PNG in base 64. Hint: draw it again") from error
