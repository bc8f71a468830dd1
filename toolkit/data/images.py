"""Reading photos from files.

There is one way to read images: a file is opened if it is a regular file, its header is read, its size must
be plausible for the pixels that it claims, and only then is it decoded. Files that are not images, are cut
off or would fill the memory are refused with a clear message. Everything is in the orientation in which
viewers show it: EXIF rotations are applied to pixels and to sizes alike.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.config.scale import Depth, Scale
from toolkit.data.image_decoding import decode_colors, decode_deep
from toolkit.data.image_files import IMAGE_SUFFIXES, FilePath, open_image_file
from toolkit.data.image_headers import MAX_PIXELS, Header, check_budget, read_header
from toolkit.data.pixel_scale import check_depth, scaled
from toolkit.types import Size

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "FilePath",
    "Picture",
    "as_read",
    "decode_image",
    "decode_picture",
    "image_depth",
    "image_size",
    "opened",
    "pixel_count",
    "range_note",
    "read_image",
    "read_picture",
    "scaled_picture",
    "stated_size",
]

logger = logging.getLogger("toolkit")

_LITTLE_OF_16_BITS = 1 << 14  # 14 bits: a quarter of the range


class Picture(NamedTuple):
    """An image, and notes on what in its file was left out.

    Attributes:
        pixels: uint8 ``[3, H, W]``, RGB.
        notes: sentences without their subject, the file, by topic: ``"pages"``, ``"bands"``,
            ``"range"`` and ``"scale"``.
    """

    pixels: Tensor
    notes: Mapping[str, str]


def read_image(path: FilePath, scale: Scale | None = None) -> Tensor:
    """Read a JPEG, PNG, BMP, WebP, TIFF, GIF or JPEG 2000 file as RGB.

    Gray becomes three equal channels; palettes and CMYK become RGB; transparency is dropped without blending,
    as is usual in the field; 16 bits per channel become 8 by ``round(value / 257)``, which maps the full
    range onto the full range; EXIF orientation is applied; of several pages or frames the first is read. What
    is left out and may matter is logged, once per process and kind: see ``read_picture``.

    Args:
        path: the file.
        scale: how values become 8 bits instead, see ``toolkit.data.pixel_scale``; also of 32 bits, and of
            floating-point numbers.

    Returns:
        uint8 ``[3, H, W]``, stored channels-last (as decoded; call ``.contiguous()`` if the layout matters).

    Raises:
        ImageError: when the file cannot be read or is not a complete image, or is not of the scale's depth;
            says what is wrong and how to fix it.
    """
    return _said(path, read_picture(path, scale))


def read_picture(path: FilePath, scale: Scale | None = None) -> Picture:
    """Read an image like ``read_image``, with notes on what else its file contains: further pages, frames or
    bands, or a deep image that uses little of its range and so becomes almost black.

    Raises:
        ImageError: as ``read_image``.
    """
    with opened(path) as header:
        return _decoded(header, scale)


def decode_image(data: bytes, path: FilePath, scale: Scale | None = None) -> Tensor:
    """Decode an image from the bytes of a file, like ``read_image``.

    Args:
        data: all bytes of the file.
        path: where they come from, for messages.
        scale: as for ``read_image``.
    """
    return _said(path, decode_picture(data, path, scale))


def decode_picture(data: bytes, path: FilePath, scale: Scale | None = None) -> Picture:
    """Decode an image from the bytes of a file, like ``read_picture``."""
    return _decoded(read_header(path, BytesIO(data), len(data)), scale)


def as_read(pixels: Tensor, name: FilePath, scale: Scale | None) -> Picture:
    """Decoded 8-bit pixels ``[3, H, W]``, such as those of a video, as a file with them is read.

    Raises:
        ImageError: as ``read_image``.
    """
    if scale is None:
        return Picture(pixels, {})
    return scaled_picture(pixels.permute(1, 2, 0).numpy(), name, scale)


def scaled_picture(pixels: NDArray[Any], path: FilePath, scale: Scale) -> Picture:
    """An image in memory like ``read_picture``.

    Args:
        pixels: ``[H, W]`` for gray, or ``[H, W, 3]``, RGB.
        path: where they come from, for messages.
        scale: how they become 8 bits.

    Raises:
        ImageError: as ``read_image``.
    """
    bits = pixels.dtype.itemsize * 8
    depths: dict[int, Depth] = {8: "8-bit", 16: "16-bit"}
    check_depth("float" if pixels.dtype.kind == "f" else depths.get(bits, "32-bit"), scale, path)
    return _picture(*scaled(pixels, scale, path))


@contextmanager
def opened(path: FilePath) -> Iterator[Header]:
    """The header of an image, whose file is open.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with open_image_file(path) as (file, size):
        yield read_header(path, file, size)


def image_depth(path: FilePath) -> Depth:
    """The kind of values of an image, from its header.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with opened(path) as header:
        return header.depth()


def _decoded(header: Header, scale: Scale | None) -> Picture:
    check_budget(header, 3)
    notes = header.notes()
    if scale is not None:
        check_depth(header.depth(), scale, header.path)
        pixels, found = _picture(*scaled(decode_deep(header), scale, header.path))
        return Picture(pixels, {**notes, **found})
    array = decode_colors(header)
    if array.dtype == np.uint16:
        notes |= range_note(int(array.max()))
        array = cv2.convertScaleAbs(array, alpha=1 / 257)
    return Picture(torch.from_numpy(array).permute(2, 0, 1), notes)


def _picture(pixels: NDArray[np.uint8], notes: dict[str, str]) -> Picture:
    """Gray becomes three equal channels."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return Picture(torch.from_numpy(pixels).permute(2, 0, 1), notes)


def range_note(most: int) -> dict[str, str]:
    """The note on a 16-bit image whose largest value is ``most``, if it is small."""
    if not 0 < most < _LITTLE_OF_16_BITS:
        return {}
    return {
        "range": f"uses the values up to {most} of 65535, so it becomes almost black: 16 bits are divided by"
        " 257. Hint: scale such images to the full range first, or train with data.options.scale"
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
    with opened(path) as header:
        check_budget(header, 1)
        return header.size()


def stated_size(path: FilePath) -> tuple[str, Size]:
    """The format of an image (``"TIFF"``, …), and the height and width in pixels that it claims to have,
    however many.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with opened(path) as header:
        return header.format, header.size()


def pixel_count(path: FilePath) -> int:
    """How many pixels an image claims to have, from the beginning of its file.

    Raises:
        ImageError: as ``image_size``.
    """
    with opened(path) as header:
        check_budget(header, 1)
        return header.pixels
