"""The orientation in EXIF data, whatever its byte order and however damaged."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest

from toolkit.data.exif import exif_of_profile, exif_orientation, late_exif


def block(order: str, orientation: int, kind: int = 3) -> bytes:
    """EXIF data with one tag."""
    start = struct.pack(f"{order}2sHL", b"II" if order == "<" else b"MM", 42, 8)
    value = struct.pack(f"{order}{'H' if kind == 3 else 'L'}", orientation).ljust(4, b"\0")
    return start + struct.pack(f"{order}HHHL", 1, 0x0112, kind, 1) + value


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_found(order: str, kind: int, orientation: int) -> None:
    data = block(order, orientation, kind)
    assert exif_orientation(data) == orientation
    assert exif_orientation(b"Exif\0\0" + data) == orientation


@pytest.mark.parametrize("data", [b"", b"II", block("<", 9), block("<", 6)[:15], b"XX" + block("<", 6)[2:]])
def test_damaged_data_have_none(data: bytes) -> None:
    assert exif_orientation(data) == 1


def test_the_profile_of_imagemagick_is_hexadecimal() -> None:
    data = block(">", 6)
    assert exif_orientation(exif_of_profile(f"\nexif\n{len(data):8d}\n{data.hex()}\n")) == 6
    assert exif_of_profile("\nexif\n 3\nzz") == b""
    assert exif_of_profile(None) == b""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def test_the_chunk_after_the_pixels_of_a_png() -> None:
    start, end = b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", bytes(50)), chunk(b"IEND", b"")
    assert late_exif(BytesIO(start + chunk(b"eXIf", block("<", 3)) + end)) == block("<", 3)
    assert late_exif(BytesIO(start + end)) == b""
    assert late_exif(BytesIO(start[:30])) == b""
