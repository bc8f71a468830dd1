"""Finds the orientation of an image in its EXIF data, without Pillow's reader of them."""

from __future__ import annotations

import struct
from io import SEEK_CUR
from typing import Any, BinaryIO

ORIENTATION = 0x0112
"""The tag of EXIF and TIFF that says how an image has to be turned."""

_MOST_CHUNKS, _MOST_BYTES = 200_000, 1 << 26


def exif_orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF data, 1 if there is none.

    Pillow's own reader warns about every error, or raises; only one tag of the first directory is needed.
    """
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}L", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for position in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, position)
            if tag == ORIENTATION and kind in (3, 4):
                (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'L'}", data, position + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def exif_of_profile(text: Any) -> bytes:
    """EXIF data as ImageMagick writes it into PNG files: a name and a length, then hexadecimal digits."""
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:])) if text else b""
    except ValueError:
        return b""


def late_exif(file: BinaryIO) -> bytes:
    """The EXIF data of a PNG that follows the pixels, where ExifTool puts it."""
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, name = struct.unpack(">L4s", head)
        if name == b"eXIf":
            return file.read(min(length, _MOST_BYTES))
        if name == b"IEND":
            break
        file.seek(length + 4, SEEK_CUR)
    return b""
