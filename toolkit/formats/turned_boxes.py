"""Boxes rotated about their center, as CVAT writes them into COCO files: the upright box, and the angle as an
attribute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.errors import DataError
from toolkit.formats.regions import Box, Polygon, rectangle
from toolkit.reading.fields import is_number

UNKNOWN_ANGLES = ("rotation", "angle", "theta")
"""Fields of a record that other tools may write, each with its own meaning."""


def rotation_of(record: Mapping[str, Any], where: str) -> float:
    """The angle by which the box of an annotation is rotated, in degrees clockwise; 0 for an upright box.

    Raises:
        DataError: when the angle is not a number, or is in a field whose meaning is not known.
    """
    unknown = next((name for name in UNKNOWN_ANGLES if record.get(name) not in (None, 0)), None)
    if unknown is not None:
        raise DataError(
            f"{where} has {unknown} {record[unknown]!r}, but only CVAT's attributes: {{rotation: DEGREES}} is"
            " read. Hint: write the rotated box as a polygon in segmentation, and remove the field"
        )
    attributes = record.get("attributes")
    angle = attributes.get("rotation") if isinstance(attributes, Mapping) else None
    if angle is None:
        return 0.0
    if not is_number(angle):
        raise DataError(f"{where} has the rotation {angle!r}; expected degrees. Hint: correct the file")
    return float(angle) % 360


def turned(box: Box, degrees: float) -> Polygon:
    """The corners of a box rotated clockwise about its center."""
    x0, y0, x1, y1 = box
    center = ((x0 + x1) / 2, (y0 + y1) / 2)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    flat = rectangle(x0, y0, x1, y1)
    corners: list[float] = []
    for x, y in zip(flat[::2], flat[1::2], strict=True):
        dx, dy = x - center[0], y - center[1]
        corners += [center[0] + dx * cos - dy * sin, center[1] + dx * sin + dy * cos]
    return tuple(corners)


def hull(corners: Sequence[float]) -> Box:
    """The upright box around points."""
    return min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])


def is_upright(segmentation: Any, box: Box) -> bool:
    """Whether a segmentation consists of only the four corners of a box."""
    flat = segmentation[0] if isinstance(segmentation, list) and len(segmentation) == 1 else None
    if not isinstance(flat, list) or len(flat) not in (8, 10) or not all(map(is_number, flat)):
        return False
    points = {(round(x, 3), round(y, 3)) for x, y in zip(flat[::2], flat[1::2], strict=True)}
    x0, y0, x1, y1 = (round(value, 3) for value in box)
    return points == {(x0, y0), (x1, y0), (x1, y1), (x0, y1)}
