"""Pixel sizes that image files state themselves: OME-TIFF, ImageJ's TIFF, GeoTIFF."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

from toolkit.data.georeference import georeference_of
from toolkit.data.image_files import FilePath
from toolkit.data.tiff_tags import tiff_tags
from toolkit.errors import ImageError
from toolkit.measuring.pixel_size import UNITS, KnownSize, PixelSize

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _ORIENTATION = 270, 282, 283, 274
_NAMES: Mapping[str, tuple[str, float]] = {
    **{unit: (unit, 1.0) for unit in UNITS},
    **dict.fromkeys(("µm", "μm", "micron", "microns", "\\u00B5m"), ("um", 1.0)),
    **{"Å": ("nm", 0.1), "pm": ("nm", 0.001), "inch": ("in", 1.0), "thou": ("in", 0.001)},
    **{"yd": ("ft", 3.0), "meter": ("m", 1.0)},
}
"""Units as OME-XML and ImageJ write them, and how many of ours they are."""


def stated_size(path: FilePath) -> tuple[KnownSize | None, str]:
    """The pixel size that an image file states.

    Resolutions in dots per inch are not taken for pixel sizes: most programs write 72 or 96 into every file.

    Args:
        path: the file.

    Returns:
        The size, None if the file states none; and why what it states is no size, empty if there is nothing
        to say.
    """
    try:
        tags = tiff_tags(path)
    except ImageError:  # whoever needs its pixels says why
        return None, ""
    found: tuple[KnownSize | None, str] = None, ""
    for read in _READERS:
        found = read(tags)
        if found != (None, ""):
            break
    size, reason = found
    if size is not None and tags.get(_ORIENTATION, 1) in (5, 6, 7, 8):
        turned = PixelSize(size.size.height, size.size.width, size.size.unit)
        return KnownSize(turned, size.source), reason
    return found


def _from_ome(tags: Mapping[int, Any]) -> tuple[KnownSize | None, str]:
    text = _description(tags)
    if "<OME" not in text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None, ""
    try:
        # a declared encoding is that of the file, not of the text that it became
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except (ElementTree.ParseError, ValueError):
        return None, "has OME metadata that are damaged"
    pixels = root.find(".//{*}Pixels")
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return None, ""
    x = _length(pixels.get("PhysicalSizeX", ""), pixels.get("PhysicalSizeXUnit", "µm"))
    y = x
    if "PhysicalSizeY" in pixels.attrib:
        y = _length(pixels.get("PhysicalSizeY", ""), pixels.get("PhysicalSizeYUnit", "µm"))
    if x is None or y is None:
        unit = pixels.get("PhysicalSizeXUnit", "µm")
        return None, f"states {pixels.get('PhysicalSizeX')} {unit} as its pixel size, which is no length"
    return KnownSize(PixelSize(x.width, y.to(x.unit).width, x.unit), "OME-TIFF"), ""


def _from_imagej(tags: Mapping[int, Any]) -> tuple[KnownSize | None, str]:
    text = _description(tags)
    if not text.startswith("ImageJ="):
        return None, ""
    lines = dict(line.partition("=")[::2] for line in text.splitlines())
    sides = []
    for number in (_X_RESOLUTION, _Y_RESOLUTION):
        try:
            per_unit = float(tags.get(number, 0))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            per_unit = 0.0
        sides.append(_length(str(1 / per_unit) if per_unit else "", lines.get("unit", "").strip()))
    x, y = sides
    return (None if x is None or y is None else KnownSize(PixelSize(x.width, y.width, x.unit), "ImageJ")), ""


def _from_map(tags: Mapping[int, Any]) -> tuple[KnownSize | None, str]:
    found = georeference_of(tags)
    if found is None:
        return None, ""
    if found.transform is None:
        return None, f"is a GeoTIFF without a pixel size: {found.fault}"
    named = f" ({found.crs})" if found.crs else ""
    if found.unit == "degree":
        return None, f"has coordinates in degrees{named}, so its pixels have no size in meters"
    if found.is_stretched:
        return None, f"is in a Mercator projection{named}, which stretches lengths with the latitude"
    if not found.unit:
        return None, f"is a GeoTIFF that does not say in which unit its coordinates are{named}"
    a, b, _, d, e, _ = found.transform
    width, height = math.hypot(a, d) * found.per_unit, math.hypot(b, e) * found.per_unit
    if not math.isclose(width * height, abs(a * e - b * d) * found.per_unit**2, rel_tol=1e-6):
        return None, "is a GeoTIFF with a sheared transform, so its pixels are not rectangles"
    return KnownSize(PixelSize(width, height, found.unit), "GeoTIFF"), ""


_READERS: tuple[Callable[[Mapping[int, Any]], tuple[KnownSize | None, str]], ...] = (
    _from_ome,
    _from_imagej,
    _from_map,
)


def _description(tags: Mapping[int, Any]) -> str:
    """The description in a TIFF; empty if there is none."""
    text = tags.get(_DESCRIPTION, "")
    if not isinstance(text, str):
        return ""
    try:
        # the tag is for ASCII and is decoded as Latin-1, but µ is written in UTF-8
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _length(number: str, unit: str) -> PixelSize | None:
    """A length above 0 as the side of a square pixel; None if it is none."""
    try:
        value = float(number)
    except ValueError:
        return None
    ours, factor = _NAMES.get(unit, ("", 0.0))
    side = value * factor
    return PixelSize.square(side, ours) if math.isfinite(side) and side > 0 else None
