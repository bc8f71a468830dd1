"""A file for parsers that trust what they read: they may neither read beyond a size nor without end."""

from __future__ import annotations

from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import BinaryIO

HEADER_BYTES, HEADER_READS = 1 << 26, 200_000
"""More than the header of any image takes."""


class BoundedFile:
    """The file that a header parser reads from: limited in size, and never endless.

    Args:
        file: the file.
        size: in bytes; what lies beyond does not exist.
        most: number of bytes that are read in total, after which ``read`` raises ``ValueError``.
    """

    def __init__(self, file: BinaryIO, size: int, most: int = HEADER_BYTES) -> None:
        self._file, self._size = file, size
        self._bytes_left, self._reads_left = most, HEADER_READS

    def read(self, count: int | None = -1) -> bytes:
        """Up to this many bytes."""
        rest = max(0, self._size - self._file.tell())
        count = rest if count is None or count < 0 else min(count, rest)
        self._bytes_left -= count
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            raise ValueError("it does not end")
        return self._file.read(count)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move; positions before the beginning are the beginning."""
        base = {SEEK_SET: 0, SEEK_CUR: self._file.tell(), SEEK_END: self._size}[whence]
        return self._file.seek(max(0, base + offset))

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def close(self) -> None:
        """Closing is left to whoever opened the file."""
