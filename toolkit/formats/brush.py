"""The run-length code of Label Studio's brush, that of the package ``@thi.ng/rle-pack``.

It is a sequence of bits, highest first: the number of values (32 bits), the bits of a value less 1 (5), four
sizes of numbers less 1 (4 each), then blocks. A block has a bit that says whether it repeats one value, two
bits that choose a size, the number of its values less 1 in as many bits, and one value or all of them. The
values are red, green, blue and alpha of the pixels, row by row; a pixel belongs to the mask if its alpha is
not 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.types import Size

_HEADER = 32 + 5 + 4 * 4
_SIZES = np.array([3, 4, 8, 16])
"""The sizes of numbers that Label Studio writes."""
_VALUE = 8


def decode_brush(rle: Sequence[int] | bytes, size: Size, where: str) -> NDArray[np.bool_]:
    """The mask of a brush.

    Args:
        rle: bytes, as they are or as a list of numbers.
        size: height and width of the image.
        where: file and record, for messages.

    Returns:
        bool ``[H, W]``.

    Raises:
        DataError: when it is damaged or cut off, or of an image with another number of pixels.
    """
    lengths, values = decode_values(rle, 4 * size[0] * size[1], where)
    # alpha is every fourth value
    ends = np.cumsum(lengths)
    alphas = ends // 4 - (ends - lengths) // 4
    return np.repeat(values > 0, alphas).reshape(size)


def decode_values(
    rle: Sequence[int] | bytes, count: int, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values of a code as runs, of which neighbors may have the same value.

    Args:
        rle: as for ``decode_brush``.
        count: how many values it must have.
        where: file and record, for messages.

    Returns:
        The length and the value of each run, int64 ``[N]``.

    Raises:
        DataError: as ``decode_brush``.
    """
    try:
        data = bytes(rle)
    except (TypeError, ValueError):
        raise DataError(
            f"{where}: rle must be a list of whole numbers from 0 to 255. Hint: export the annotations again"
        ) from None
    bits = _Bits(data)
    if len(data) * 8 < _HEADER:
        raise DataError(f"{where}: rle has {len(data)} bytes and is cut off. Hint: export it again")
    total, word = bits.number(0, 32), bits.number(32, 5) + 1
    sizes = [bits.number(37 + 4 * place, 4) + 1 for place in range(4)]
    if total != count:
        raise DataError(
            f"{where}: rle is of {total:,} values, but the image has {count:,} (four for each pixel). Hint:"
            " use the image that was annotated, or annotate it again"
        )
    starts, lengths, repeats = _blocks(bits, count, word, sizes, where)
    # a block that repeats nothing is as many runs of length 1
    runs = np.where(repeats, 1, lengths)
    which = np.repeat(np.arange(len(runs)), runs)
    place = np.arange(len(which)) - np.repeat(np.cumsum(runs) - runs, runs)
    return np.where(repeats, lengths, 1)[which], bits.numbers(starts[which] + place * word, word)


def _blocks(
    bits: _Bits, count: int, word: int, sizes: Sequence[int], where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where the values of each block begin, how many there are, and whether one is repeated.

    Where a block begins depends on the one before, so this is a loop, over blocks rather than values.
    """
    starts, lengths, repeats = [], [], []
    position, done, end = _HEADER, 0, bits.count
    while done < count:
        head = bits.number(position, 3)
        size = sizes[head & 3]
        length = bits.number(position + 3, size) + 1
        position += 3 + size
        starts.append(position)
        lengths.append(length)
        repeats.append(head >= 4)
        done += length
        position += word if head >= 4 else length * word
        if position > end or done > count:
            what = "is cut off" if position > end else "has more values than it says"
            raise DataError(f"{where}: rle {what}. Hint: export the annotations again, or draw it again")
    return np.array(starts, np.int64), np.array(lengths, np.int64), np.array(repeats, np.bool_)


class _Bits:
    """Numbers at any place in a sequence of bits; behind its end, all bits are 0."""

    def __init__(self, data: bytes) -> None:
        self.count = 8 * len(data)
        self._data = data + bytes(8)
        self._array = np.frombuffer(self._data, np.uint8).astype(np.int64)

    def number(self, start: int, size: int) -> int:
        """The number in ``size`` bits, up to 32, from ``start`` on."""
        first = start >> 3
        window = int.from_bytes(self._data[first : first + 5], "big") << 8 * max(
            0, first + 5 - len(self._data)
        )
        return window >> (40 - (start & 7) - size) & ((1 << size) - 1)

    def numbers(self, starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """The numbers in ``size`` bits each, int64 ``[N]``."""
        first = starts >> 3
        window = np.zeros(len(starts), np.int64)
        for place in range(5):
            window = window << 8 | self._array[first + place]
        return window >> (40 - (starts & 7) - size) & ((1 << size) - 1)


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """The code of a mask, with the same bytes as by Label Studio's own converter.

    Args:
        mask: bool ``[H, W]``.

    Returns:
        Numbers from 0 to 255.
    """
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])[: flat.size + 1]
    lengths = 4 * np.diff(edges)
    values = flat[edges[:-1]].astype(np.int64) * 255
    # runs are split where they are longer than the longest that a block holds
    most = 1 << int(_SIZES[-1])
    parts = np.maximum(1, -(-lengths // most))
    which = np.repeat(np.arange(len(lengths)), parts)
    is_last = np.concatenate([which[1:] != which[:-1], [True]])[: len(which)]
    lengths = np.where(is_last, (lengths - (parts - 1) * most)[which], most)
    index = np.searchsorted(1 << _SIZES, lengths)
    size = _SIZES[index]
    codes = ((4 | index) << size | (lengths - 1)) << _VALUE | values[which]
    header = [(4 * flat.size, 32), (_VALUE - 1, 5), *((int(each) - 1, 4) for each in _SIZES)]
    head = np.concatenate([_bits_of(np.array([number]), np.array([width])) for number, width in header])
    bits = np.concatenate([head, _bits_of(codes, 3 + size + _VALUE)])
    bits = np.concatenate([bits, np.zeros(8 - len(bits) % 8, np.uint8)])
    found: list[int] = np.packbits(bits).tolist()
    return found


def _bits_of(numbers: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The bits of numbers one after the other, each with as many as its size says."""
    which = np.repeat(np.arange(len(numbers)), sizes)
    place = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return (numbers[which] >> (sizes[which] - 1 - place) & 1).astype(np.uint8)
