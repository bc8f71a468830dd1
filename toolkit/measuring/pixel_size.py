"""The size of a pixel in the world."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from toolkit.errors import UsageError

METERS = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "in": 0.0254, "ft": 0.3048}
UNITS = tuple(METERS)
_SAME = {"µm": "um", "μm": "um"}
_NUMBER = r"([0-9.eE+-]+)"
_ONE = re.compile(rf"\s*{_NUMBER}\s*([^\d\s]*)\s*")
_TWO = re.compile(rf"\s*{_NUMBER}\s*([^\d\s]*?)\s*[xX×]\s*{_NUMBER}\s*([^\d\s]*)\s*")


@dataclass(frozen=True)
class PixelSize:
    """How large a pixel is.

    Attributes:
        width: a length above 0, in ``unit``.
        height: likewise; the same as ``width`` for square pixels.
        unit: one of ``UNITS``.
    """

    width: float
    height: float
    unit: str

    @classmethod
    def square(cls, side: float, unit: str) -> PixelSize:
        """The size of a square pixel."""
        return cls(side, side, unit)

    @classmethod
    def parse(cls, text: str) -> PixelSize:
        """A pixel size from text: ``0.02mm``, or width and height, ``0.5x0.25um``.

        Raises:
            UsageError: when this is not one number above 0, or two, with one unit.
        """
        found = _TWO.fullmatch(text) or _ONE.fullmatch(text)
        parts = ("nan", "") if found is None else found.groups()
        numbers, names = parts[::2], parts[1::2]
        units = {_SAME.get(name, name) for name in names if name}
        sides = [_number(number) for number in numbers]
        if not units and all(map(math.isfinite, sides)):
            raise UsageError(
                f"the pixel size {text!r} has no unit; expected one of {', '.join(UNITS)}. Hint: write"
                f" {text.strip()}mm, for example"
            )
        if len(units) > 1 and units <= set(UNITS):
            raise UsageError(
                f"the pixel size {text!r} has two units, {' and '.join(sorted(units))}. Hint: write width and"
                " height in one unit, such as 0.5x0.25um"
            )
        if not units <= set(UNITS) or not all(math.isfinite(side) and side > 0 for side in sides):
            raise UsageError(
                f"{text!r} is not a pixel size: expected a number above 0 and one of {', '.join(UNITS)}."
                " Hint: write 0.02mm, for example, or width and height as 0.5x0.25um"
            )
        return cls(sides[0], sides[-1], *units)

    @property
    def is_square(self) -> bool:
        """Whether width and height are the same, but for rounding."""
        return math.isclose(self.width, self.height, rel_tol=1e-6)

    @property
    def area(self) -> float:
        """Of a pixel, in the square of the unit."""
        return self.width * self.height

    def to(self, unit: str) -> PixelSize:
        """The same size in another unit, one of ``UNITS``."""
        if unit == self.unit:
            return self
        factor = METERS[self.unit] / METERS[unit]
        return PixelSize(self.width * factor, self.height * factor, unit)

    def __str__(self) -> str:
        sides = f"{self.width:.6g}" if self.is_square else f"{self.width:.6g} x {self.height:.6g}"
        return f"{sides} {self.unit}"


@dataclass(frozen=True)
class KnownSize:
    """A pixel size, and where it comes from.

    Attributes:
        size: how large a pixel is.
        source: ``"option"``, ``"GeoTIFF"``, ``"OME-TIFF"``, ``"ImageJ"``, or the name of a table.
    """

    size: PixelSize
    source: str

    def to(self, unit: str) -> KnownSize:
        """The same size in another unit."""
        return KnownSize(self.size.to(unit), self.source)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
