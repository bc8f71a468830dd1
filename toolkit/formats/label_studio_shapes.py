"""The shapes in exports of Label Studio as regions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds
from toolkit.formats.brush import decode_brush
from toolkit.formats.regions import Polygon, Region, ellipse, numbers, polygon, rectangle
from toolkit.reading.fields import shown
from toolkit.types import Masks, Size

SHAPES = frozenset(
    f"{kind}{labels}" for kind in ("brush", "polygon", "rectangle", "ellipse") for labels in ("", "labels")
)
"""Types of results that are objects."""

WITHOUT_AREA = frozenset({"keypoint", "keypointlabels", "vector", "vectorlabels"})

_DIGITS = 9
"""Decimals of a pixel: dividing by the size and multiplying again changes less than this."""


def label_of(result: Mapping[str, Any], separate: Any, where: str) -> Any:
    """The one label of a result.

    Args:
        result: a record of the file.
        separate: the value of the result of ``Labels`` for the same region; None if there is none.
        where: file and result, for messages.

    Raises:
        DataError: when it has none, or several.
    """
    kind, value = str(result.get("type")), result.get("value")
    names = value.get(kind) if isinstance(value, dict) and kind.endswith("labels") else None
    if names is None and isinstance(separate, dict):
        names = separate.get("labels")
    if not isinstance(names, list) or len(names) != 1:
        raise DataError(
            f"{where} has {shown(names) if names else 'no label'}; expected one label. Hint: give it one"
            " label in Label Studio, or remove it"
        )
    return names[0]


def region_of_result(result: Mapping[str, Any], bounds: Bounds, where: str, label: int) -> Region:
    """One result with an area as a region.

    Args:
        result: a record of the file.
        bounds: the bounds of the image.
        where: file and result, for messages.
        label: the index of the class.

    Raises:
        DataError: when its numbers or its mask cannot be used.
    """
    value, kind = result.get("value"), str(result.get("type")).removesuffix("labels")
    if not isinstance(value, dict):
        raise DataError(f"{where} has no value. Hint: export the project as JSON")
    if kind == "brush":
        return Region(label, where, code=_brush(value, bounds.size, where))
    if kind == "polygon":
        corners = in_pixels(_pairs(value.get("points"), where), bounds.size)
        return Region(label, where, (bounds.look(polygon([*corners], where), where),))
    if kind == "rectangle":
        return Region(label, where, (bounds.look(_rectangle(value, bounds.size, where), where),))
    x, y, radius_x, radius_y = _values(value, ("x", "y", "radiusX", "radiusY"), where)
    center, radii = in_pixels((x, y), bounds.size), in_pixels((radius_x, radius_y), bounds.size)
    # it may extend beyond the image if the object is cut off there
    bounds.look(center, where)
    theta = math.radians(_rotation(value, where))
    code = ellipse((center[0], center[1]), (radii[0], radii[1]), theta, bounds.size, where)
    return Region(label, where, code=code)


def _brush(value: Mapping[str, Any], size: Size, where: str) -> bytes:
    if value.get("format") != "rle":
        raise DataError(
            f"{where} has a mask in the format {shown(value.get('format'))}; expected rle. Hint: export the"
            " project as JSON"
        )
    rle = value.get("rle")
    if not isinstance(rle, (list, bytes)):
        raise DataError(f"{where}: rle must be a list, not {shown(rle)}. Hint: export the project as JSON")
    return Masks.from_dense(decode_brush(rle, size, where)[None]).counts[0]


def _values(value: Mapping[str, Any], names: tuple[str, ...], where: str) -> tuple[float, ...]:
    return tuple(numbers([value.get(name)], where, name)[0] for name in names)


def _rotation(value: Mapping[str, Any], where: str) -> float:
    """Degrees clockwise."""
    return _values(value, ("rotation",), where)[0] % 360 if value.get("rotation") is not None else 0.0


def _pairs(points: Any, where: str) -> tuple[float, ...]:
    are_pairs = isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 for point in points
    )
    if not are_pairs:
        raise DataError(f"{where}: points must be a list of [x, y]. Hint: export the project as JSON")
    return numbers([value for point in points for value in point], where, "points")


def in_pixels(flat: Sequence[float], size: Size) -> Polygon:
    """Percentages of the width and height in pixels."""
    return tuple(
        round(value * size[1 - index % 2] / 100, _DIGITS) if abs(value) < 1e9 else value
        for index, value in enumerate(flat)
    )


def _rectangle(value: Mapping[str, Any], size: Size, where: str) -> Polygon:
    """A rectangle, rotated about its corner at the top left."""
    x, y, width, height = in_pixels(_values(value, ("x", "y", "width", "height"), where), size)
    degrees = _rotation(value, where)
    flat = rectangle(x, y, round(x + width, _DIGITS), round(y + height, _DIGITS))
    if not degrees:
        return polygon([*flat], where, "the rectangle")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners: list[float] = []
    for left, top in zip(flat[::2], flat[1::2], strict=True):
        dx, dy = left - x, top - y
        corners += [x + dx * cos - dy * sin, y + dx * sin + dy * cos]
    return polygon(corners, where, "the rectangle")
