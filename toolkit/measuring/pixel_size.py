"""The size of a pixel in the world."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from toolkit.errors import UsageError

UNITS = ("nm", "um", "mm", "cm", "m", "km", "in", "ft")
_SAME = {"µm": "um", "μm": "um"}
_FORM = re.compile(r"\s*([0-9.eE+-]+)\s*(\D*?)\s*")


@dataclass(frozen=True)
class PixelSize:
    """The side of a square pixel.

    Attributes:
        side: a length above 0, in ``unit``.
        unit: one of ``UNITS``.
    """

    side: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> PixelSize:
        """A pixel size from text such as ``0.02mm``.

        Raises:
            UsageError: when this is not one number above 0 and one unit.
        """
        found = _FORM.fullmatch(text)
        unit = "" if found is None else _SAME.get(found[2], found[2])
        try:
            side = float("nan" if found is None else found[1])
        except ValueError:
            side = math.nan
        if found is not None and not unit and math.isfinite(side):
            raise UsageError(f"the pixel size {text!r} has no unit. Hint: add one of {', '.join(UNITS)}")
        if unit not in UNITS or not math.isfinite(side) or side <= 0:
            raise UsageError(
                f"{text!r} is not a pixel size: expected a number above 0 and one of {', '.join(UNITS)}, such"
                " as 0.02mm"
            )
        return cls(side, unit)
