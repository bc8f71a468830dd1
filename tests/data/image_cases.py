"""Files of images that Pillow does not write: deep, of many bands, or lying in any orientation."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def tiff(
    pixels: np.ndarray,
    *,
    photometric: int | None = None,
    extra: tuple[int, ...] = (),
    orientation: int = 1,
    sample_format: int = 1,
    order: str = "<",
    next_page: int = 0,
) -> bytes:
    """An uncompressed TIFF.

    Args:
        pixels: ``[H, W]`` or ``[H, W, C]``, as they are stored.
        photometric: what the colors are; 1 (gray) or 2 (RGB) by the number of bands when None.
        extra: kinds of the bands beside the colors.
        orientation: as in EXIF.
        sample_format: 1 for unsigned, 2 for signed, 3 for floating-point numbers.
        order: ``"<"`` for little-endian, ``">"`` for big-endian.
        next_page: where the next page would be.
    """
    height, width, *rest = pixels.shape
    bands = rest[0] if rest else 1
    bits = pixels.dtype.itemsize * 8
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (3, (width,)),
        257: (3, (height,)),
        258: (3, (bits,) * bands),
        259: (3, (1,)),
        262: (3, ((2 if bands >= 3 else 1) if photometric is None else photometric,)),
        273: (4, (8,)),
        274: (3, (orientation,)),
        277: (3, (bands,)),
        278: (3, (height,)),
        279: (4, (len(data),)),
        339: (3, (sample_format,) * bands),
    }
    if extra:
        tags[338] = (3, extra)
    start = 8 + len(data) + len(data) % 2
    behind = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for number, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'L'}", *numbers)
        field = packed.ljust(4, b"\0")
        if len(packed) > 4:
            field = struct.pack(f"{order}L", behind + len(values))
            values += packed
        entries += struct.pack(f"{order}HHL", number, kind, len(numbers)) + field
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", start)
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}L", next_page)
    return header + data + b"\0" * (len(data) % 2) + directory + values


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, *, bits: int = 8, color: int = 2) -> bytes:
    """A PNG of the given header, whatever its rows hold."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def exif(orientation: int, order: str = "<") -> bytes:
    """A block of EXIF, without its prefix, that says how an image lies."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}LHHHLHHL", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """A JPEG with a block of EXIF in place of none."""
    body = b"Exif\0\0" + block
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def encoded(pixels: np.ndarray, kind: str, mode: str = "RGB", **options: object) -> bytes:
    """An image as Pillow writes it."""
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def photo(height: int = 11, width: int = 17, seed: int = 0) -> np.ndarray:
    """Noise in color, of which no two corners are the same."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
