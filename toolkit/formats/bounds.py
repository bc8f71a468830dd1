"""Coordinates outside the image: one rule for all annotation formats.

Annotations that lie well outside the image were made for an earlier version of it: before it was rotated,
cropped or resized. Clipped at the border they would look like valid annotations and mislead training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from toolkit.data.faults import fault, usable
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.regions import Box, Polygon, Region
from toolkit.types import Size
from toolkit.wording import counted

Outside: TypeAlias = Literal["error", "clip"]
"""How to treat objects that extend more than a few pixels beyond the image."""

TOLERANCE_PIXELS = 6
TOLERANCE_PART = 0.01
"""How far outside the image a point may be: this many pixels, or this fraction of the image's width or
height, whichever is larger. Annotators are imprecise, and some tools round outward.
"""

SHOWN = 5

CLIPPED = "objects that extend beyond the image are clipped at its border"


@dataclass(frozen=True)
class _Stray:
    """An object with points too far outside the image.

    Attributes:
        where: file and record.
        points: how many of its points are outside.
        of: how many points it has in all.
        farthest: the coordinate that is farthest outside.
        beyond: by how many pixels.
    """

    where: str
    points: int
    of: int
    farthest: float
    beyond: float

    def with_more(self, other: _Stray | None) -> _Stray:
        """Combined with other points of the same object."""
        if other is None:
            return self
        worst = max(self, other, key=lambda stray: stray.beyond)
        return replace(worst, points=self.points + other.points, of=self.of + other.of)


class Bounds:
    """Checks the coordinates of the objects of one image, and reports once for all of them how many are
    outside.

    Args:
        size: height and width of the image.
        outside: with ``clip``, objects are cut off at the border of the image instead.
        hint: what to do, if the cause is not that the image has changed.
    """

    def __init__(self, size: Size, outside: Outside = "error", hint: str = "") -> None:
        self.size = size
        self._outside = outside
        self._hint = hint
        self._strays: dict[str, _Stray] = {}

    def look(self, flat: Sequence[float], where: str) -> Polygon:
        """Check the points of an object.

        Args:
            flat: finite numbers ``x0, y0, x1, y1, …`` in pixels.
            where: file and record, for messages.

        Returns:
            The points. Those that are farther outside than the size of the image are moved closer, so that
            later computations do not have to handle arbitrarily large numbers.

        Raises:
            DataError: when objects are to be clipped, and a point is farther outside than the size of the
                image.
        """
        if self._all_near(flat):
            return tuple(flat)
        height, width = self.size
        stray = self.note(flat, where)
        moved = [
            min(max(value, -length), 2.0 * length)
            for value, length in zip(flat, (width, height) * (len(flat) // 2), strict=True)
        ]
        if stray is not None and self._outside == "clip" and moved != list(flat):
            raise DataError(self._message([stray]))
        return tuple(moved)

    def look_box(self, box: Box, where: str) -> Box:
        """Check the corners of a box.

        Returns:
            The box, clipped at the border of the image.
        """
        self.note(box, where)
        height, width = map(float, self.size)
        return max(0.0, box[0]), max(0.0, box[1]), min(width, box[2]), min(height, box[3])

    def note(self, flat: Sequence[float], where: str) -> _Stray | None:
        """Record an object with points too far outside; None if there are none."""
        if self._all_near(flat):
            return None
        height, width = self.size
        count, beyond, farthest = 0, 0.0, 0.0
        for x, y in zip(flat[::2], flat[1::2], strict=True):
            out_x, out_y = _beyond(x, width), _beyond(y, height)
            count += out_x > _tolerance(width) or out_y > _tolerance(height)
            if max(out_x, out_y) > beyond:
                beyond, farthest = max(out_x, out_y), x if out_x >= out_y else y
        if not count:
            return None
        stray = _Stray(where, count, len(flat) // 2, farthest, beyond)
        self._strays[where] = stray.with_more(self._strays.get(where))
        return stray

    def _all_near(self, flat: Sequence[float]) -> bool:
        """A quick check, which most objects pass."""
        height, width = self.size
        return len(flat) == 0 or (
            min(flat) >= -TOLERANCE_PIXELS
            and max(flat[::2]) <= width + TOLERANCE_PIXELS
            and max(flat[1::2]) <= height + TOLERANCE_PIXELS
        )

    @property
    def has_strays(self) -> bool:
        """Whether objects were recorded that extend beyond the image."""
        return bool(self._strays)

    def finish(self, regions: Iterable[Region]) -> list[Region]:
        """The objects of the image, after all of their points have been checked; those to be clipped have
        lost the parts outside.

        Raises:
            DataError: when points are outside; counts them, and names the objects.
        """
        if self._strays and self._outside == "error":
            fault(DataError(self._message([*self._strays.values()])))
        if not self._strays or self._outside == "error":
            return [*regions]
        note(f"{CLIPPED} (outside=clip)", len(self._strays))
        return list(usable(regions, self._cut_off))

    def _cut_off(self, region: Region) -> Region:
        if region.where not in self._strays or not region.polygons:
            return region
        return replace(region, polygons=(), code=region.counts(self.size))

    def _message(self, strays: Sequence[_Stray]) -> str:
        hint = self._hint or _HINT
        if self._outside == "error":
            hint += ", or clip such objects with outside=clip"
        height, width = self.size
        worst = max(strays, key=lambda stray: stray.beyond)
        points, of = sum(stray.points for stray in strays), sum(stray.of for stray in strays)
        others = [stray.where for stray in strays[1 : SHOWN + 1]]
        more = f", … ({len(strays)} in all)" if len(strays) > SHOWN + 1 else ""
        count = len(strays) - 1
        also = f" (and {counted(count, 'more object')}: {', '.join(map(_record, others))}{more})"
        return (
            f"{strays[0].where}{also if others else ''} reaches {worst.farthest:g}, outside the image of"
            f" {width} x {height} pixels: {points} of {of} points are more than a few pixels outside. Hint:"
            f" {hint}"
        )


_HINT = (
    "the image may have been rotated, cropped or resized since it was annotated, so annotate it again, or"
    " restore the original image"
)


def _beyond(value: float, length: int) -> float:
    """By how many pixels a coordinate is outside; 0 if it is inside."""
    return max(0.0, -value, value - length)


def _tolerance(length: int) -> float:
    return max(TOLERANCE_PIXELS, TOLERANCE_PART * length)


def _record(where: str) -> str:
    """``annotation 7`` of ``file.json: annotation 7 of image 3``."""
    return where.rpartition(": ")[2]
