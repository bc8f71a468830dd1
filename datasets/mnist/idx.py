"""IDX files: a header with the type and the shape, then the numbers, the last axis fastest.

The header is two zero bytes, the type of the numbers, the number of axes, and the length of each axis as 32
bits, the highest byte first.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.reading.files import read_bytes

UBYTE = 0x08
"""The type of unsigned bytes, the only one that these data have."""

MOST_BYTES = 1 << 30
"""Of a file, also when it is unpacked; the largest published ones have 550 MB."""

_GET_AGAIN = "get the file again, or remove it and run toolkit data get mnist"


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """The numbers of a file, uint8 with so many axes; read-only.

    Args:
        path: the file; gzipped where its name ends in ``.gz``.
        axes: how many there must be.

    Raises:
        DataError: when the file cannot be read, is no IDX file of bytes, or its size is not that of its
        header.
    """
    data = read_bytes(path, "images or labels in IDX format", DataError, most=MOST_BYTES)
    if path.suffix == ".gz":
        data = _unpacked(data, path)
    start = 4 + 4 * axes
    if len(data) < start or data[:2] != b"\0\0":
        raise DataError(
            f"{path} is no IDX file: it begins with {data[:4].hex(' ') or 'nothing'}. Hint: {_GET_AGAIN}"
        )
    kind, count = data[2], data[3]
    if (kind, count) != (UBYTE, axes):
        raise DataError(
            f"{path} has numbers of type 0x{kind:02x} along {count} axes; expected 0x{UBYTE:02x} (bytes)"
            " along"
            f" {axes}. Hint: check whether images and labels are mixed up"
        )
    shape = struct.unpack(f">{axes}I", data[4:start])
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise DataError(
            f"{path} has {len(data):,} bytes; expected {expected:,} for {' × '.join(map(str, shape))} values"
            " by"
            f" its header. Hint: {_GET_AGAIN}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged, or not gzipped: {error}. Hint: {_GET_AGAIN}") from None
    if len(unpacked) > MOST_BYTES:
        raise DataError(f"{path} unpacks to more than {MOST_BYTES:,} bytes. Hint: {_GET_AGAIN}")
    return unpacked
