"""Reading photos and label maps from files.

There is one way to read images: a file is opened if it is a regular file, its header is read, its size must
be plausible for the pixels that it claims, and only then is it decoded. Files that are not images, are cut
off or would fill the memory are refused with a clear message. Everything is in the orientation in which
viewers show it: EXIF rotations are applied to pixels and to sizes alike.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from toolkit.data.image_decoding import NUMBERS, decode_colors, decode_values, load
from toolkit.data.image_files import IMAGE_SUFFIXES, FilePath, open_image_file
from toolkit.data.image_headers import MAX_PIXELS, Header, check_budget, read_header
from toolkit.errors import ImageError, InvalidDataError
from toolkit.runtime.files import atomic_write
from toolkit.types import VOID, Size
from toolkit.visualization.palettes import Palette, full_palette

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "FilePath",
    "Picture",
    "decode_image",
    "decode_numbers",
    "decode_picture",
    "has_colors",
    "image_palette",
    "image_size",
    "pixel_count",
    "range_note",
    "read_channels",
    "read_id_map",
    "read_image",
    "read_label_map",
    "read_picture",
    "stated_size",
    "write_id_map",
    "write_label_map",
]

logger = logging.getLogger("toolkit")

_LITTLE_OF_16_BITS = 1 << 14  # 14 bits: a quarter of the range


class Picture(NamedTuple):
    """An image, and notes on what in its file was left out.

    Attributes:
        pixels: uint8 ``[3, H, W]``, RGB.
        notes: sentences without their subject, the file, by topic: ``"pages"``, ``"bands"``
            and ``"range"``.
    """

    pixels: Tensor
    notes: Mapping[str, str]


def read_image(path: FilePath) -> Tensor:
    """Read a JPEG, PNG, BMP, WebP, TIFF, GIF or JPEG 2000 file as RGB.

    Gray becomes three equal channels; palettes and CMYK become RGB; transparency is dropped without blending,
    as is usual in the field; 16 bits per channel become 8 by ``round(value / 257)``, which maps the full
    range onto the full range; EXIF orientation is applied; of several pages or frames the first is read. What
    is left out and may matter is logged, once per process and kind: see ``read_picture``.

    Returns:
        uint8 ``[3, H, W]``, stored channels-last (as decoded; call ``.contiguous()`` if the layout matters).

    Raises:
        ImageError: when the file cannot be read or is not a complete image; says what is wrong and how to fix
            it.
    """
    return _said(path, read_picture(path))


def read_picture(path: FilePath) -> Picture:
    """Read an image like ``read_image``, with notes on what else its file contains: further pages, frames or
    bands, or a deep image that uses little of its range and so becomes almost black.

    Raises:
        ImageError: as ``read_image``.
    """
    with _opened(path) as header:
        return _decoded(header)


def decode_image(data: bytes, path: FilePath) -> Tensor:
    """Decode an image from the bytes of a file, like ``read_image``.

    Args:
        data: all bytes of the file.
        path: where they come from, for messages.
    """
    return _said(path, decode_picture(data, path))


def decode_picture(data: bytes, path: FilePath) -> Picture:
    """Decode an image from the bytes of a file, like ``read_picture``."""
    return _decoded(read_header(path, BytesIO(data), len(data)))


@contextmanager
def _opened(path: FilePath) -> Iterator[Header]:
    with open_image_file(path) as (file, size):
        yield read_header(path, file, size)


def _decoded(header: Header) -> Picture:
    check_budget(header, 3)
    notes = header.notes()
    array = decode_colors(header)
    if array.dtype == np.uint16:
        notes |= range_note(int(array.max()))
        array = cv2.convertScaleAbs(array, alpha=1 / 257)
    return Picture(torch.from_numpy(array).permute(2, 0, 1), notes)


def range_note(most: int) -> dict[str, str]:
    """The note on a 16-bit image whose largest value is ``most``, if it is small."""
    if not 0 < most < _LITTLE_OF_16_BITS:
        return {}
    return {
        "range": f"uses the values up to {most} of 65535, so it becomes almost black: 16 bits are divided by"
        " 257. Hint: scale such images to the full range first"
    }


class _Said:
    """Kinds of notes that this process has logged; every image of a folder may produce the same note."""

    def __init__(self) -> None:
        self._kinds, self._lock = set[str](), threading.Lock()

    def is_new(self, kind: str) -> bool:
        with self._lock:
            is_new = kind not in self._kinds
            self._kinds.add(kind)
            return is_new


_SAID = _Said()


def _said(path: FilePath, picture: Picture) -> Tensor:
    for kind, note in picture.notes.items():
        if _SAID.is_new(kind):
            logger.warning("%s %s (reported once for all such images)", path, note)
    return picture.pixels


def image_size(path: FilePath) -> Size:
    """Height and width in pixels as displayed, from the header alone.

    Raises:
        ImageError: when the file cannot be read or is not an image, or when it claims more pixels than are
            read.
    """
    with _opened(path) as header:
        check_budget(header, 1)
        return header.size()


def stated_size(path: FilePath) -> tuple[str, Size]:
    """The format of an image (``"TIFF"``, …), and the height and width in pixels that it claims to have,
    however many.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with _opened(path) as header:
        return header.format, header.size()


def pixel_count(path: FilePath) -> int:
    """How many pixels an image claims to have, from the beginning of its file.

    Raises:
        ImageError: as ``image_size``.
    """
    with _opened(path) as header:
        check_budget(header, 1)
        return header.pixels


def image_palette(path: FilePath) -> list[int] | None:
    """The palette of an image, as red, green and blue of each index; None if it has none.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with _opened(path) as header:
        check_budget(header, 1)
        return load(header).getpalette() if header.image.mode == "P" else None


def has_colors(path: FilePath) -> bool:
    """Whether an image has red, green and blue for each pixel, rather than one number.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with _opened(path) as header:
        return header.image.mode not in NUMBERS


def decode_numbers(data: bytes, path: FilePath) -> NDArray[Any]:
    """The numbers of an image with one channel, ``[H, W]``, from the bytes of its file.

    Args:
        data: all bytes of the file, such as those of a PNG in an annotation.
        path: where they come from, for messages.

    Raises:
        ImageError: when this is not an image, is a color image, or has a compression that changes values.
    """
    return _numbers(read_header(path, BytesIO(data), len(data)))


def read_label_map(path: FilePath, expected: Size | None = None) -> Tensor:
    """Read a label image: the raw index of every pixel, not the color that a palette gives it.

    Args:
        path: of the file.
        expected: height and width of the image that it belongs to, if known: a label map of this size may
            have very few bytes. Another size is not an error.

    Returns:
        uint8 ``[H, W]``.

    Raises:
        ImageError: when the file cannot be read, is a color image or a JPEG, or has values above 255.
    """
    values = _read_values(path, expected)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 255:
        raise ImageError(
            f"{path} has the value {low if low < 0 else high}; expected class indexes up to 254, and {VOID}"
            " for void"
        )
    return torch.from_numpy(values.astype(np.uint8))


def read_id_map(path: FilePath) -> Tensor:
    """Read an image of object ids: the raw number of every pixel, with any number of bits (8 or 16 in a PNG,
    32 in a TIFF).

    Returns:
        int32 ``[H, W]``.

    Raises:
        ImageError: when the file cannot be read, is a color image or a JPEG, or has negative numbers.
    """
    values = _read_values(path)
    if values.size and int(values.min()) < 0:
        raise ImageError(
            f"{path} has the value {int(values.min())}; expected object ids of 0 or more (0 is no object)"
        )
    return torch.from_numpy(values.astype(np.int32))


def read_channels(path: FilePath) -> Tensor:
    """Read an image whose color channels hold numbers, such as ids or marks, of 8 or 16 bits each.

    A palette is treated as a way of storing colors; gray becomes three equal channels; transparency is
    dropped.

    Returns:
        int32 ``[3, H, W]``: red, green and blue.

    Raises:
        ImageError: when the file cannot be read or is a JPEG.
    """
    with _opened(path) as header:
        _require_exact(header)
        check_budget(header, 6)
        return torch.from_numpy(decode_colors(header).astype(np.int32)).permute(2, 0, 1)


def _read_values(path: FilePath, expected: Size | None = None) -> NDArray[Any]:
    """The numbers of an image with one channel, as integers ``[H, W]``."""
    with _opened(path) as header:
        return _numbers(header, expected)


def _numbers(header: Header, expected: Size | None = None) -> NDArray[Any]:
    _require_exact(header)
    check_budget(header, 1, expected=expected)
    return decode_values(header)


def _require_exact(header: Header) -> None:
    if header.format in ("JPEG", "JPEG 2000"):
        raise ImageError(
            f"{header.path} is a {header.format}, whose compression changes label values. Hint: save label"
            " maps as PNG"
        )


def write_label_map(path: FilePath, label_map: Tensor | NDArray[np.uint8], palette: Palette) -> None:
    """Write a label map as a palette PNG: viewers show the colors, ``read_label_map`` gives the indexes back.

    Args:
        path: the file to write; missing folders are created.
        label_map: uint8 ``[H, W]``.
        palette: one RGB color per index, from 0 on; the others get the colors of PASCAL VOC's rule, so void
            is (224, 224, 192).

    Raises:
        InvalidDataError: when ``label_map`` is not uint8 ``[H, W]``.
        OutputError: when the file cannot be written.
    """
    array = label_map.numpy() if isinstance(label_map, Tensor) else label_map
    if array.dtype != np.uint8 or array.ndim != 2:
        raise InvalidDataError(f"label_map must be uint8 [H, W], not {array.dtype} {list(array.shape)}")
    image = Image.fromarray(array)
    image.putpalette(full_palette(palette)[:256].tobytes())
    # Run-length matching suits label maps: it is as fast as no compression, and smaller than the default.
    with atomic_write(path) as file:
        image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)


def write_id_map(path: FilePath, ids: Tensor) -> None:
    """Write an image of object ids that ``read_id_map`` reads back: a palette PNG, or from id 256 on a gray
    one of 16 bits.

    Args:
        path: the file to write; missing folders are created.
        ids: whole numbers ``[H, W]``; 0 is no object, and black.

    Raises:
        InvalidDataError: when an id is negative or beyond 65535.
        OutputError: when the file cannot be written.
    """
    low, high = (int(ids.min()), int(ids.max())) if ids.numel() else (0, 0)
    if low < 0 or high > 65_535:
        raise InvalidDataError(f"ids of objects must be 0…65535, not {low if low < 0 else high}")
    if high <= 255:
        return write_label_map(path, ids.to(torch.uint8), [(0, 0, 0)])
    with atomic_write(path) as file:
        Image.fromarray(ids.numpy().astype(np.uint16)).save(file, "PNG", compress_level=1)
