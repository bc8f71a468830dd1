"""Where an image lies on a map, as its GeoTIFF tags say (OGC GeoTIFF 1.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from toolkit.data.image_files import FilePath
from toolkit.data.tiff_tags import tiff_tags

Affine: TypeAlias = tuple[float, float, float, float, float, float]
"""``a, b, c, d, e, f``: the point x, y of the image lies at ``a x + b y + c, d x + e y + f`` on the map."""

_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEYS = 33550, 33922, 34264, 34735
_ORIENTATION = 274
_MODEL_TYPE, _RASTER_TYPE, _GEOGRAPHIC, _PROJECTED, _LINEAR_UNITS = 1024, 1025, 2048, 3072, 3076
_IS_GEOGRAPHIC, _POINT, _USER_DEFINED = 2, 2, 32767
_US_FOOT = 1200 / 3937 / 0.3048
_UNITS = {9001: ("m", 1.0), 9002: ("ft", 1.0), 9003: ("ft", _US_FOOT), 9036: ("km", 1.0)}
"""EPSG's codes of units, and how many of ours they are; 9003 is the foot of US surveys."""
_UTM = (*range(32601, 32661), *range(32701, 32761), *range(25828, 25839), *range(26901, 26924))
_MERCATOR = (3857, 3785, 3395)


@dataclass(frozen=True)
class Georeference:
    """Where an image lies.

    Attributes:
        transform: from the grid of pixels to the map; None if the tags do not say.
        epsg: the code of the coordinate reference system; None if it has none, or is not stated.
        unit: of the map's coordinates, ``"m"``, ``"ft"``, ``"km"`` or ``"degree"``; empty if not known.
        per_unit: how many of these units a coordinate of 1 is; other than 1 for the foot of US surveys.
        fault: why there is no transform; empty if there is one.
    """

    transform: Affine | None = None
    epsg: int | None = None
    unit: str = ""
    per_unit: float = 1.0
    fault: str = ""

    @property
    def crs(self) -> str:
        """The name of the coordinate reference system, such as ``"EPSG:32633"``; empty if not known."""
        return "" if self.epsg is None else f"EPSG:{self.epsg}"

    @property
    def is_stretched(self) -> bool:
        """Whether lengths on the map grow with the latitude, as in Web Mercator."""
        return self.epsg in _MERCATOR

    def on_map(self, x: float, y: float) -> tuple[float, float]:
        """The position on the map of a point in the image, whose first pixel has its middle at 0.5, 0.5.

        Only where there is a transform.
        """
        assert self.transform is not None  # ensured by the caller
        a, b, c, d, e, f = self.transform
        return a * x + b * y + c, d * x + e * y + f


def georeference(path: FilePath) -> Georeference | None:
    """Where an image lies; None if its file says nothing about that.

    Raises:
        ImageError: when the file cannot be opened.
    """
    return georeference_of(tiff_tags(path))


def georeference_of(tags: Mapping[int, Any]) -> Georeference | None:
    """The same from the tags of a TIFF file."""
    if not any(number in tags for number in (_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEYS)):
        return None
    keys = _geo_keys(_numbers(tags, _KEYS))
    codes = [keys.get(name, _USER_DEFINED) for name in (_PROJECTED, _GEOGRAPHIC)]
    epsg = next((code for code in codes if 0 < code < _USER_DEFINED), None)
    unit, per_unit = _unit(keys, epsg)
    transform, fault = _transform(tags, is_point=keys.get(_RASTER_TYPE) == _POINT)
    if transform is not None and tags.get(_ORIENTATION, 1) != 1:
        transform, fault = None, "its pixels are stored turned or mirrored"
    return Georeference(transform, epsg, unit, per_unit, fault)


def _unit(keys: Mapping[int, int], epsg: int | None) -> tuple[str, float]:
    is_geographic = keys.get(_MODEL_TYPE) == _IS_GEOGRAPHIC or (
        _GEOGRAPHIC in keys and _PROJECTED not in keys
    )
    if is_geographic:
        return "degree", 1.0
    if _LINEAR_UNITS in keys:
        return _UNITS.get(keys[_LINEAR_UNITS], ("", 1.0))
    return ("m", 1.0) if epsg in (*_UTM, *_MERCATOR) else ("", 1.0)


def _transform(tags: Mapping[int, Any], *, is_point: bool) -> tuple[Affine | None, str]:
    matrix, points, scale = (_numbers(tags, number) for number in (_TRANSFORMATION, _TIEPOINTS, _SCALE))
    if len(matrix) == 16:
        a, b, c, d, e, f = (matrix[place] for place in (0, 1, 3, 4, 5, 7))
    elif len(points) >= 6 and len(scale) >= 2:
        a, b, d, e = scale[0], 0.0, 0.0, -scale[1]
        c, f = points[3] - a * points[0], points[4] - e * points[1]
    elif len(points) > 6:
        return None, "it has ground control points in place of a transform"
    else:
        return None, "it has no transform"
    if is_point:
        c, f = c - (a + b) / 2, f - (d + e) / 2
    # adding 0 turns -0 into 0
    found = (a + 0.0, b + 0.0, c + 0.0, d + 0.0, e + 0.0, f + 0.0)
    if not all(map(math.isfinite, found)) or not a * e - b * d:
        return None, "its transform is damaged"
    return found, ""


def _geo_keys(values: Sequence[float]) -> dict[int, int]:
    """The keys whose values are short numbers, which are stored in the directory itself."""
    entries = [values[start : start + 4] for start in range(4, len(values) - 3, 4)]
    return {int(key): int(value) for key, location, _, value in entries if location == 0}


def _numbers(tags: Mapping[int, Any], number: int) -> list[float]:
    """The numbers of a tag; empty if there are none."""
    value = tags.get(number, ())
    values = value if isinstance(value, tuple) else (value,)
    try:
        return [float(each) for each in values]
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return []
