"""Reading and writing label maps and other images of which the numbers count, not the colors."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from toolkit.data.image_decoding import NUMBERS, decode_colors, decode_values, load
from toolkit.data.image_files import FilePath
from toolkit.data.image_headers import Header, check_budget, read_header
from toolkit.data.images import opened
from toolkit.errors import ImageError, InvalidDataError
from toolkit.runtime.files import atomic_write
from toolkit.types import VOID, Size
from toolkit.visualization.palettes import Palette, full_palette


def image_palette(path: FilePath) -> list[int] | None:
    """The palette of an image, as red, green and blue of each index; None if it has none.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with opened(path) as header:
        check_budget(header, 1)
        return load(header).getpalette() if header.image.mode == "P" else None


def has_colors(path: FilePath) -> bool:
    """Whether an image has red, green and blue for each pixel, rather than one number.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    with opened(path) as header:
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
    with opened(path) as header:
        _require_exact(header)
        check_budget(header, 6)
        return torch.from_numpy(decode_colors(header).astype(np.int32)).permute(2, 0, 1)


def _read_values(path: FilePath, expected: Size | None = None) -> NDArray[Any]:
    """The numbers of an image with one channel, as integers ``[H, W]``."""
    with opened(path) as header:
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
