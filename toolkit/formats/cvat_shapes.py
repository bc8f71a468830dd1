"""The shapes in CVAT's files as regions."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds
from toolkit.formats.cvat_masks import decode_cvat_mask
from toolkit.formats.regions import Polygon, Region, ellipse, polygon, rectangle
from toolkit.formats.turned_boxes import turned
from toolkit.reading.fields import shown


def region_of_element(shape: Element, bounds: Bounds, where: str, label: int) -> Region:
    """One shape with an area as a region.

    Args:
        shape: the element of the shape.
        bounds: the bounds of the image.
        where: file and shape, for messages.
        label: the index of the class.

    Raises:
        DataError: when the shape is unknown, or its numbers cannot be used.
    """
    if shape.tag == "polygon":
        return Region(label, where, (bounds.look(polygon([*_points(shape, where)], where), where),))
    if shape.tag == "box":
        return Region(label, where, (bounds.look(polygon([*_box(shape, where)], where, "the box"), where),))
    if shape.tag == "mask":
        return Region(label, where, code=_mask(shape, bounds, where))
    if shape.tag == "ellipse":
        center = (_number(shape, "cx", where), _number(shape, "cy", where))
        radii = (_number(shape, "rx", where), _number(shape, "ry", where))
        # it may extend beyond the image if the object is cut off there
        bounds.look(center, where)
        theta = math.radians(_rotation(shape, where))
        return Region(label, where, code=ellipse(center, radii, theta, bounds.size, where))
    raise DataError(
        f"{where} is a {shown(shape.tag)}, which is unknown; expected polygon, box, mask or ellipse. Hint:"
        " draw it as one of these"
    )


def _number(shape: Element, name: str, where: str) -> float:
    text = shape.get(name)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} has {shown(text)} as its {name}; expected a number. Hint: correct the file")
    return value


def _rotation(shape: Element, where: str) -> float:
    """Degrees clockwise about the center."""
    return _number(shape, "rotation", where) % 360 if "rotation" in shape.attrib else 0.0


def _box(shape: Element, where: str) -> Polygon:
    x0, y0, x1, y1 = (_number(shape, name, where) for name in ("xtl", "ytl", "xbr", "ybr"))
    degrees = _rotation(shape, where)
    return turned((x0, y0, x1, y1), degrees) if degrees else rectangle(x0, y0, x1, y1)


def _points(shape: Element, where: str) -> Polygon:
    text = shape.get("points", "")
    flat: list[float] = []
    try:
        for point in text.split(";"):
            x, y = point.split(",")
            flat += [float(x), float(y)]
    except ValueError:
        raise DataError(
            f"{where} has the points {shown(text)}; expected x,y;x,y;…. Hint: correct the file"
        ) from None
    return tuple(flat)


def _mask(shape: Element, bounds: Bounds, where: str) -> bytes:
    left, top, width, height = (_whole(shape, name, where) for name in ("left", "top", "width", "height"))
    try:
        lengths = [int(word) for word in shape.get("rle", "").split(",")]
    except ValueError:
        raise DataError(
            f"{where}: rle must be whole numbers with commas, not {shown(shape.get('rle'))}. Hint: export the"
            " annotations again"
        ) from None
    return decode_cvat_mask(lengths, (left, top), (width, height), bounds.size, where)


def _whole(shape: Element, name: str, where: str) -> int:
    value = _number(shape, name, where)
    if value != int(value):
        raise DataError(
            f"{where} has {shape.get(name)} as the {name} of its mask; expected a whole number of pixels."
            " Hint: correct the file"
        )
    return int(value)
