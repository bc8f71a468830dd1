"""Checks that are made before data reaches pycocotools' code in C, which reads and writes beyond its memory,
or asks for gigabytes, when run lengths or polygons are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.types.basics import Size

MOST_OUTLINE = 1_000_000
"""Longest outline of a polygon in a small image, in pixels; pycocotools takes 80 bytes for each pixel."""


def decode_counts(counts: bytes) -> NDArray[np.int64]:
    """The lengths of the runs, background first, that compressed COCO run lengths stand for; any bytes decode
    to some lengths.

    Each length is a number in base 32, lowest digit first; bit 5 of a digit says that another digit follows,
    and bit 4 of the last digit is the sign. From the fourth length on, it is the difference from the length
    two before.
    """
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((digits & 32) == 0)
    if not len(last) or last[-1] != len(digits) - 1:
        return np.array([-1])  # cut off within a number
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    if length.max() > 12:
        return np.array([-1])  # beyond 64 bits
    place = np.arange(len(digits)) - np.repeat(first, length)
    values = np.add.reduceat((digits & 31) << (5 * place), first)
    values -= np.where(digits[last] & 16, np.int64(1) << (5 * length), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def decode_all(codes: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lengths of the runs of many valid codes at once, one code after another, and how many each has;
    many times as fast as ``decode_counts`` for each.
    """
    digits = np.frombuffer(b"".join(codes), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((digits & 32) == 0)
    counts = np.diff(np.searchsorted(last, np.cumsum([0, *map(len, codes)])))
    if not len(last):
        return np.zeros(0, np.int64), counts
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    place = np.arange(len(digits)) - np.repeat(first, length)
    values = np.add.reduceat((digits & 31) << (5 * place), first)
    values -= np.where(digits[last] & 16, np.int64(1) << (5 * length), 0)
    position = positions_in(counts)
    for parity in (1, 0):  # each length from the fourth on is the difference from that two before
        chosen = np.flatnonzero((position % 2 == parity) & (position > 0))
        values[chosen] = _cumsum_from(values[chosen], position[chosen] <= 2)
    return values, counts


def positions_in(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2 … for each of these counts."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)


def _cumsum_from(values: NDArray[np.int64], begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sums that begin anew at some positions, the first among them."""
    sums = np.cumsum(values)
    starts = np.flatnonzero(begins)
    before = sums[starts] - values[starts]
    return sums - np.repeat(before, np.diff([*starts, len(values)]))


def encode_counts(lengths: NDArray[np.int64]) -> bytes:
    """Compressed COCO run lengths of runs with these lengths, background first; what ``decode_counts``
    reads.
    """
    rest = lengths.astype(np.int64)
    rest[3:] -= lengths[1:-2]
    return _digits(rest)[0]


def encode_all(lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> list[bytes]:
    """Many codes at once; the inverse of ``decode_all``."""
    rest, position = lengths.astype(np.int64), positions_in(counts)
    later = np.flatnonzero(position >= 3)
    rest[later] -= lengths[later - 2]
    data, ends = _digits(rest)
    bounds = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(counts)])].tolist()
    return [data[start:stop] for start, stop in pairwise(bounds)]


def _digits(rest: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
    """Numbers in the digits of COCO's run lengths, and where each ends."""
    digits, which = np.ones(len(rest), np.int64), np.arange(len(rest))
    places = []
    while len(which):  # one digit of every number that has another
        digit, rest = rest & 31, rest >> 5
        more = np.where(digit & 16, rest != -1, rest != 0)
        places.append((which, digit | more << 5))
        which, rest = which[more], rest[more]
        digits[which] += 1
    ends = np.cumsum(digits)
    code = np.empty(int(digits.sum()), np.uint8)
    for place, (numbers, digit) in enumerate(places):
        code[ends[numbers] - digits[numbers] + place] = digit + 48
    return code.tobytes(), ends


def counts_fault(counts: bytes, size: Size) -> str:
    """What is wrong with compressed run lengths of an image of this size; empty when nothing is."""
    lengths = decode_counts(counts)
    if not len(lengths) or bool((lengths < 0).any()) or int(lengths.max()) > size[0] * size[1]:
        return "are damaged or cut off"
    covered = int(lengths.sum())
    pixels = size[0] * size[1]
    return "" if covered == pixels else f"cover {covered:,} pixels, but the image has {pixels:,}"


def lengths_fault(lengths: Sequence[Any], size: Size) -> str:
    """The same for run lengths given as a list of numbers."""
    pixels, covered = size[0] * size[1], 0
    for length in lengths:
        if isinstance(length, bool) or not isinstance(length, (int, float)) or not 0 <= length <= pixels:
            return f"have a length that is not a whole number from 0 to {pixels:,}"
        if length != int(length):
            return "have a length that is not a whole number"
        covered += int(length)
    return "" if covered == pixels else f"cover {covered:,} pixels, but the image has {pixels:,}"


def polygon_fault(part: Sequence[Any], size: Size) -> str:
    """What is wrong with a polygon ``x0, y0, x1, y1, …`` in an image of this size; empty when nothing is."""
    if not isinstance(part, (list, tuple, np.ndarray)):
        return f"is a {type(part).__name__}; expected a list of numbers"
    if len(part) < 6 or len(part) % 2:
        return f"has {len(part)} numbers; expected x0, y0, x1, y1, … of 3 points or more"
    try:
        points = np.asarray(part, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        return "has a coordinate that is not a number"
    if any(isinstance(value, (str, bool)) for value in part) or not bool(np.isfinite(points).all()):
        return "has a coordinate that is not a finite number"
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    outline, most = float(steps.sum()), max(MOST_OUTLINE, 50 * sum(size))
    far = float(np.abs(points).max())
    if outline > most or far > most:
        return (
            f"reaches {far:g} pixels far, with an outline of {outline:g}; the image has {size[1]} x {size[0]}"
        )
    return ""
