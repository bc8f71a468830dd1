"""Turns the values of an image that is read tile by tile into 8 bits, by one scale for the whole image: the
same 8 bits as ``toolkit.data.pixel_scale.scaled`` of the whole, in memory that does not depend on its size.

Values of 8 and 16 bits are counted. For percentiles of 32-bit and floating-point values, the values at the
ranks that matter are found in two passes, by the upper and then by the lower 16 bits of numbers that are in
the order of the values (the selection of a radix sort).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.config.scale import Scale
from toolkit.data.image_files import FilePath
from toolkit.data.pixel_scale import Limits, Table, in_order

Values: TypeAlias = NDArray[Any]


class Tiles(ABC):
    """The tiles of an image, by their numbers from 0."""

    count: int

    @abstractmethod
    def inside(self, number: int, values: Values | None = None) -> Values:
        """The values of a tile that lie within the image.

        Args:
            number: of the tile.
            values: all of its values; read from the file when None.
        """


class TileScale(ABC):
    """One scale for all tiles of an image.

    Args:
        scale: the scale.
        path: of the image, for messages.
        known: what was found out about the image before; None if nothing was.

    Attributes:
        known: what need not be found out again.
    """

    known: Table | Limits | None

    @abstractmethod
    def levels(self, tiles: Tiles, number: int, values: Values) -> NDArray[np.uint8]:
        """The values of a tile as 8 bits, in the same shape.

        Args:
            tiles: of the image; not kept, so that whoever has both is freed, and its file closed, at once.
            number: of the tile.
            values: all of its values.

        Raises:
            ImageError: when no value of the image is finite, or a tile cannot be read.
        """

    @abstractmethod
    def notes(self) -> dict[str, str]:
        """As of ``scaled``, for the tiles that were read so far.

        Raises:
            ImageError: when a fixed range makes all of them one color.
        """


def tile_scale(scale: Scale, path: FilePath, dtype: np.dtype[Any], known: Table | Limits | None) -> TileScale:
    """The scale for tiles of a type; arguments as for ``TileScale``."""
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return _Counted(scale, path, dtype, known if isinstance(known, Table) else None)
    return _Ranked(scale, path, known if isinstance(known, Limits) else None)


class _Counted(TileScale):
    """For values of 8 and 16 bits."""

    def __init__(self, scale: Scale, path: FilePath, dtype: np.dtype[Any], known: Table | None) -> None:
        self._scale, self._path, self.known = scale, path, known
        self._counts = np.zeros(1 << 8 * dtype.itemsize, np.int64)
        self._seen: set[int] = set()

    def levels(self, tiles: Tiles, number: int, values: Values) -> NDArray[np.uint8]:
        if self._scale.range is not None:
            self._count(tiles, number, values)
            # a fixed range does not depend on which values there are
            self.known = self.known or Table.of(np.ones_like(self._counts), self._scale, self._path)
        elif self.known is None:
            for each in range(tiles.count):
                self._count(tiles, each)
            self.known = Table.of(self._counts, self._scale, self._path)
        assert isinstance(self.known, Table)  # made above
        return self.known.levels[values]

    def _count(self, tiles: Tiles, number: int, values: Values | None = None) -> None:
        if number not in self._seen:
            self._seen.add(number)
            inside = tiles.inside(number, values).ravel()
            self._counts += np.bincount(inside, minlength=len(self._counts))

    def notes(self) -> dict[str, str]:
        return Table.of(self._counts, self._scale, self._path).notes if self._counts.any() else {}


class _Ranked(TileScale):
    """For values of 32 bits and floating-point values."""

    def __init__(self, scale: Scale, path: FilePath, known: Limits | None) -> None:
        self._scale, self._path, self.known = scale, path, known
        self._seen: set[int] = set()
        self._found = Limits.of_range(scale) if scale.range is not None else None

    def levels(self, tiles: Tiles, number: int, values: Values) -> NDArray[np.uint8]:
        if self._found is not None:
            if number not in self._seen:
                self._seen.add(number)
                self._found = self._found.with_values(tiles.inside(number, values))
            return self._found.mapped(values)
        if self.known is None:
            self.known = _limits(tiles, self._scale, self._path)
        assert isinstance(self.known, Limits)  # made above
        return self.known.mapped(values)

    def notes(self) -> dict[str, str]:
        found = self._found or self.known
        return found.notes(self._scale, self._path) if isinstance(found, Limits) else {}


@dataclass(frozen=True)
class _Upper:
    """The first pass over an image.

    Attributes:
        counts: int64 ``[65536]``, how many values have each upper half.
        odd: number of values that are not finite.
        dtype: of the values.
    """

    counts: NDArray[np.int64]
    odd: int
    dtype: np.dtype[Any]


def _limits(tiles: Tiles, scale: Scale, path: FilePath) -> Limits:
    """What a scale by percentiles makes black and white in an image."""
    assert scale.percentiles is not None  # the caller has looked
    upper = _first_pass(tiles)
    total = int(upper.counts.sum())
    if not total:
        Limits.refuse_without_values(path)
    places = [(total - 1) * (percent / 100) for percent in scale.percentiles]
    ranks = sorted({rank for place in places for rank in (int(place), min(int(place) + 1, total - 1))})
    at = dict(zip(ranks, _at_ranks(tiles, upper, ranks), strict=True))
    low, high = (
        _between(at[int(place)], at[min(int(place) + 1, total - 1)], place - int(place)) for place in places
    )
    return Limits(low, high, odd=upper.odd, size=total + upper.odd)


def _between(first: Values, second: Values, share: float) -> float:
    """Linear interpolation in NumPy's order of operations, and the difference in the type of the values, so
    that not even the last bit differs from ``numpy.percentile``.
    """
    difference = np.subtract(second, first)
    if share < 0.5:
        return float((first + difference * np.float64(share))[0])
    return float((second - difference * np.float64(1 - share))[0])


def _first_pass(tiles: Tiles) -> _Upper:
    counts, odd, kind = np.zeros(1 << 16, np.int64), 0, np.dtype(np.float32)
    for keys, others, dtype in _keys_of_tiles(tiles):
        counts += np.bincount(keys >> 16, minlength=1 << 16)
        odd, kind = odd + others, dtype
    return _Upper(counts, odd, kind)


def _at_ranks(tiles: Tiles, upper: _Upper, ranks: list[int]) -> list[Values]:
    """The values at ranks from 0 in ascending order, each an array ``[1]``."""
    ends = np.cumsum(upper.counts)
    halves = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(1 << 16, np.int64) for half in halves}
    for keys, _, _ in _keys_of_tiles(tiles):
        tops = keys >> 16
        for half, counts in lower.items():
            counts += np.bincount(keys[tops == half] & 0xFFFF, minlength=1 << 16)
    found = []
    for rank, half in zip(ranks, halves.tolist(), strict=True):
        before = int(ends[half - 1]) if half else 0
        low = int(np.searchsorted(np.cumsum(lower[half]), rank - before, side="right"))
        found.append(in_order(np.array([half << 16 | low], np.uint32), upper.dtype, back=True))
    return found


def _keys_of_tiles(tiles: Tiles) -> Iterator[tuple[NDArray[np.uint32], int, np.dtype[Any]]]:
    """For each tile, numbers in the order of its finite values, how many others there are, and its type."""
    for number in range(tiles.count):
        values = tiles.inside(number).ravel()
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        yield in_order(finite, values.dtype), values.size - finite.size, values.dtype
