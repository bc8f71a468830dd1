"""Turns the values of deep images into 8 bits by the scale of a run.

A value becomes ``round(255 · (value - low) / (high - low))``, clipped to 0…255; low and high are percentiles
of all values of the image, of all channels together so that colors stay, or two fixed values. Percentiles 1
and 99 are what Cellpose normalizes by (Stringer et al. 2021; it does so per channel). Percentiles interpolate
linearly between neighboring values, as NumPy's do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from toolkit.config.scale import Depth, Scale
from toolkit.data.image_files import FilePath
from toolkit.errors import ImageError

_CHUNK = 1 << 22  # values that are computed with at once


def scaled(values: NDArray[Any], scale: Scale, path: FilePath) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """The values of an image as 8 bits.

    Args:
        values: numbers of any shape and type. Those that are not finite count for no percentile; NaN becomes
            0.
        scale: the scale.
        path: where they come from, for messages.

    Returns:
        uint8 of the same shape, and notes as in ``toolkit.data.images.Picture``: ``"scale"``, how many values
        were outside of a fixed range or not finite.

    Raises:
        ImageError: when no value is finite, or a fixed range turns an image of several values into one color.
    """
    if values.dtype in (np.uint8, np.uint16):
        counts = np.bincount(values.ravel(), minlength=np.iinfo(values.dtype).max + 1)
        table = Table.of(counts, scale, path)
        return table.levels[values], table.notes
    if scale.range is not None:
        limits = Limits.of_range(scale).with_values(values)
        return limits.mapped(values), limits.notes(scale, path)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    if not finite.size:
        Limits.refuse_without_values(path)
    low, high = (float(each) for each in np.percentile(finite, scale.limits))
    limits = Limits(low, high, odd=values.size - finite.size, size=values.size)
    return limits.mapped(values), limits.notes(scale, path)


@dataclass(frozen=True)
class Limits:
    """What becomes black and white of values of 32 bits, or floating-point values.

    Attributes:
        low, high: the two values.
        outside: number of finite values beyond them, if the scale has a fixed range.
        odd: number of values that are not finite.
        size: number of all values.
        smallest, largest: of the finite values, if the scale has a fixed range.
    """

    low: float
    high: float
    outside: int = 0
    odd: int = 0
    size: int = 0
    smallest: float = math.inf
    largest: float = -math.inf

    @classmethod
    def of_range(cls, scale: Scale) -> Limits:
        """Those of a fixed range, before any value."""
        return cls(*scale.limits)

    def with_values(self, values: NDArray[Any]) -> Limits:
        """The same after further values of an image."""
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
        return replace(
            self,
            outside=self.outside + int(np.count_nonzero((finite < self.low) | (finite > self.high))),
            odd=self.odd + values.size - finite.size,
            size=self.size + values.size,
            smallest=min(self.smallest, float(finite.min())) if finite.size else self.smallest,
            largest=max(self.largest, float(finite.max())) if finite.size else self.largest,
        )

    def mapped(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """The values as 8 bits, in the same shape."""
        return _mapped(values, self.low, self.high)

    def notes(self, scale: Scale, path: FilePath) -> dict[str, str]:
        """As in ``scaled``.

        Raises:
            ImageError: as ``scaled``.
        """
        if self.size and self.odd == self.size:
            self.refuse_without_values(path)
        if scale.range is not None and self.size:
            _check_levels(self.smallest, self.largest, scale, path)
        return _notes(self.outside, self.odd, self.size, scale)

    @staticmethod
    def refuse_without_values(path: FilePath) -> NoReturn:
        """Raise the error of an image without a finite value."""
        raise ImageError(f"{path} has no value that is a number. Hint: remove it, or save it again")


class Table:
    """What each value of 8 or 16 bits becomes.

    Attributes:
        levels: uint8, by value.
        notes: as in ``scaled``.
    """

    def __init__(self, levels: NDArray[np.uint8], notes: dict[str, str]) -> None:
        self.levels, self.notes = levels, notes

    @classmethod
    def of(cls, counts: NDArray[np.int64], scale: Scale, path: FilePath) -> Table:
        """The table for an image.

        Args:
            counts: how often the image has each value, int64 ``[256]`` or ``[65536]``.
            scale: the scale.
            path: of the image, for messages.

        Raises:
            ImageError: as ``scaled``.
        """
        found = np.flatnonzero(counts)
        numbers = np.arange(len(counts))
        if scale.percentiles is not None:
            low, high = (_percentile(counts, each) for each in scale.percentiles)
            return cls(_mapped(numbers, low, high), {})
        low, high = scale.limits
        _check_levels(int(found[0]), int(found[-1]), scale, path)
        outside = int(counts[(numbers < low) | (numbers > high)].sum())
        return cls(_mapped(numbers, low, high), _notes(outside, 0, int(counts.sum()), scale))


def in_order(values: NDArray[Any], dtype: np.dtype[Any], *, back: bool = False) -> NDArray[Any]:
    """Whole numbers in the order of the values, or the values of such numbers.

    Args:
        values: finite values of ``dtype``, or the numbers, uint32.
        dtype: float32, int32 or uint32.
        back: whether numbers are given.
    """
    top = np.uint32(1 << 31)
    if dtype.kind == "u":
        return values
    if dtype.kind == "i":
        return (values ^ top).view(dtype) if back else values.view(np.uint32) ^ top
    if back:
        return np.where(values & top, values ^ top, ~values).view(dtype)
    bits = values.view(np.uint32)
    return np.where(bits & top, ~bits, bits | top)


def _percentile(counts: NDArray[np.int64], percent: float) -> float:
    """As ``numpy.percentile`` of the values that are counted."""
    total = np.cumsum(counts)
    place = (int(total[-1]) - 1) * (percent / 100)
    below = int(place)
    first, second = np.searchsorted(total, [below, min(below + 1, int(total[-1]) - 1)], side="right").tolist()
    share, difference = place - below, second - first
    # in NumPy's order of operations, so that not even the last bit differs
    return float(first + difference * share if share < 0.5 else second - difference * (1 - share))


def _mapped(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    flat = values.reshape(-1)
    result = np.empty(flat.shape, np.uint8)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            # an image of one value has no range: what is above it is white
            levels = (part - low) * (255 / (high - low)) if high > low else (part > low) * 255.0
            levels = np.nan_to_num(np.clip(np.rint(levels), 0, 255), nan=0)
        result[start : start + _CHUNK] = levels
    return result.reshape(values.shape)


def _check_levels(smallest: float, largest: float, scale: Scale, path: FilePath) -> None:
    """Refuse an image whose values a fixed range makes one."""
    low, high = scale.limits
    first, last = _mapped(np.array([smallest, largest]), low, high)
    if smallest < largest and first == last:
        color = {0: "black", 255: "white"}.get(int(first), "one gray")
        raise ImageError(
            f"{path} has values from {smallest:g} to {largest:g}, all of which the scale {scale.in_words()}"
            f" makes {color}. Hint: check that it is of the same kind as the others, or correct the range"
        )


def _notes(outside: int, odd: int, total: int, scale: Scale) -> dict[str, str]:
    parts = []
    if outside:
        share = f"{outside / total:.1%}" if outside / total >= 0.001 else "less than 0.1%"
        parts.append(
            f"has {outside:,} values ({share}) outside of the scale {scale.in_words()}, which were clipped"
        )
    if odd:
        parts.append(f"has {odd:,} values that are not finite numbers; NaN became 0")
    return {"scale": ", and ".join(parts)} if parts else {}


def check_depth(depth: Depth, scale: Scale, path: FilePath) -> None:
    """Check that an image has the depth of those that a scale is for.

    Raises:
        ImageError: when it has another.
    """
    if scale.bit_depth in (None, "any", depth):
        return
    raise ImageError(
        f"{path} has {depth} values, but the scale {scale.in_words()} is for {scale.bit_depth} images. Hint:"
        f" leave it out or save it as {scale.bit_depth}; data.options.scale.bit_depth=any in training reads"
        " every depth"
    )
