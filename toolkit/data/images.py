"""Reading photos and label maps from files.

OpenCV decodes, because it is the fastest; Pillow's parsers read the headers first, so that a file that is not
an image, is cut off or would fill the memory is refused with a clear message before any pixel is decoded.
Everything is in the orientation in which viewers show it: EXIF rotations are applied to pixels and to sizes
alike.
"""

from __future__ import annotations

import os
import re
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from torch import Tensor

from toolkit.errors import ImageError, InvalidDataError
from toolkit.runtime.files import atomic_write
from toolkit.types import VOID, Size
from toolkit.visualization.palettes import Palette, full_palette

FilePath: TypeAlias = "str | os.PathLike[str]"

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""What counts as an image when a folder is searched; what a file really is, is read from its first bytes."""

MAX_PIXELS = 20_000 * 20_000
"""Larger images are refused: they take gigabytes each, and a small file that claims to be so large is likely
an attack.
"""

_ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 swap width and height
_PARSERS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
}
_JPEG_MARKER = re.compile(
    rb"\xff[^\x00\x01\xd0-\xd7\xff]"
)  # neither an escaped byte of data nor a restart nor a fill byte
_REPAIR_COPY = "Hint: copy or download it again"


def read_image(path: FilePath) -> Tensor:
    """Read a JPEG, PNG, BMP, WebP or TIFF file as RGB.

    Gray becomes three equal channels; palettes and CMYK become RGB; transparency is dropped without blending,
    as is usual in the field; 16 bits a channel become 8 by ``round(value / 257)``, which maps the full range
    onto the full range; EXIF orientation is applied; of several pages or frames the first is read.

    Returns:
        uint8 ``[3, H, W]``, stored channels-last (as decoded; ``.contiguous()`` copies where that matters).

    Raises:
        ImageError: when the file cannot be read or is not a whole image; says what is wrong and how to fix
            it.
    """
    return decode_image(_read_bytes(path), path)


def decode_image(data: bytes, path: FilePath) -> Tensor:
    """The image that a file's bytes hold, as ``read_image``.

    Args:
        data: all bytes of the file.
        path: where they come from, for messages.
    """
    _header(path, data).close()
    array = _decode(path, data)
    if array.dtype == np.uint16:
        array = cv2.convertScaleAbs(array, alpha=1 / 257)
    if array.dtype != np.uint8:
        raise ImageError(
            f"{path} has {array.dtype} pixels; expected 8 or 16 bits a channel. Hint: convert it to an"
            " 8-bit PNG"
        )
    return torch.from_numpy(cv2.cvtColor(array, cv2.COLOR_BGR2RGB, dst=array)).permute(2, 0, 1)


def image_size(path: FilePath) -> Size:
    """Height and width in pixels as displayed, from the header alone.

    Raises:
        ImageError: when the file cannot be read or is not an image.
    """
    try:
        with open(path, "rb") as file, _header(path, file.read(16), file) as header:
            width, height = header.size
            turned = _is_turned(header)
    except OSError as error:
        raise _unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def read_label_map(path: FilePath) -> Tensor:
    """Read a label image: the raw index of every pixel, not the color that a palette gives it.

    Returns:
        uint8 ``[H, W]``.

    Raises:
        ImageError: when the file cannot be read, is a color image or a JPEG, or has values above 255.
    """
    values = _read_values(path)
    if values.size and int(values.max()) > 255:
        raise ImageError(
            f"{path} has the value {int(values.max())}; expected class indexes up to 254, and {VOID} for void"
        )
    return torch.from_numpy(values.astype(np.uint8))


def read_id_map(path: FilePath) -> Tensor:
    """Read an image of object ids: the raw number of every pixel, of any width (8 or 16 bits in a PNG, 32 in
    a TIFF).

    Returns:
        int32 ``[H, W]``.

    Raises:
        ImageError: when the file cannot be read, is a color image or a JPEG, or has negative numbers.
    """
    values = _read_values(path)
    if values.size and int(values.min()) < 0:
        raise ImageError(
            f"{path} has the value {int(values.min())}; expected object ids from 0, which is none"
        )
    return torch.from_numpy(values.astype(np.int32))


def read_channels(path: FilePath) -> Tensor:
    """Read an image whose color channels hold numbers, such as ids or marks, of 8 or 16 bits each.

    A palette counts as a way of storing colors; gray becomes three equal channels; transparency is dropped.

    Returns:
        int32 ``[3, H, W]``: red, green and blue.

    Raises:
        ImageError: when the file cannot be read or is a JPEG.
    """
    data = _read_bytes(path)
    with _header(path, data) as image:
        _require_exact(path, image)
    array = cv2.cvtColor(_decode(path, data), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(array.astype(np.int32)).permute(2, 0, 1)


def _read_values(path: FilePath) -> NDArray[Any]:
    """The numbers of an image with one channel, whole and ``[H, W]``."""
    data = _read_bytes(path)
    with _header(path, data) as image:
        _require_exact(path, image)
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise ImageError(
                f"{path} is a color image (mode {image.mode}); expected one class index a pixel. "
                "Hint: save it as a gray or palette PNG, or use a dataset that reads color-coded truth"
            )
        try:
            values = np.array(image)
        except (OSError, SyntaxError, ValueError, zlib.error) as error:
            raise ImageError(f"{path} is damaged or cut off: {error}. {_REPAIR_COPY}") from error
        return _undo_scaling(image, data, values)


def _require_exact(path: FilePath, image: ImageFile.ImageFile) -> None:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        raise ImageError(
            f"{path} is a JPEG, whose compression changes label values. Hint: save label maps as PNG"
        )


def write_label_map(path: FilePath, label_map: Tensor | NDArray[np.uint8], palette: Palette) -> None:
    """Write a label map as a palette PNG: viewers show the colors, ``read_label_map`` gives the indexes back.

    Args:
        path: where to; missing folders are made.
        label_map: uint8 ``[H, W]``.
        palette: one RGB color an index, from 0 on; the others get the colors of PASCAL VOC's rule, so void is
            (224, 224, 192).

    Raises:
        InvalidDataError: when ``label_map`` is not uint8 ``[H, W]``.
        OutputError: when the file cannot be written.
    """
    array = label_map.numpy() if isinstance(label_map, Tensor) else label_map
    if array.dtype != np.uint8 or array.ndim != 2:
        raise InvalidDataError(f"label_map must be uint8 [H, W], not {array.dtype} {list(array.shape)}")
    image = Image.fromarray(array)
    image.putpalette(full_palette(palette)[:256].tobytes())
    with atomic_write(
        path
    ) as file:  # run-length matching suits label maps: as fast as storing them, smaller than the default
        image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)


def write_id_map(path: FilePath, ids: Tensor) -> None:
    """Write an image of object ids that ``read_id_map`` gives back: a palette PNG, or from id 256 on a gray
    one of 16 bits.

    Args:
        path: where to; missing folders are made.
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


def _unreadable(path: FilePath, error: OSError) -> ImageError:
    hints = {
        FileNotFoundError: "does not exist. Hint: check the path",
        PermissionError: "may not be read: permission denied. Hint: change its permissions",
        IsADirectoryError: "is a folder, not an image. Hint: name a file in it",
    }
    return ImageError(
        f"{path}"
        f" {hints.get(type(error)) or f'cannot be read: {error.strerror or error}. Hint: check the disk'}"
    )


def _read_bytes(path: FilePath) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _header(path: FilePath, data: bytes, file: Any = None) -> ImageFile.ImageFile:
    """Parse the header of the image that starts with ``data`` (all of it when ``file`` is None); checks what
    can be checked cheaply.

    The parsers are called directly, not through ``Image.open``, whose limit on pixels is a global with a
    warning.
    """
    if not data:
        raise ImageError(f"{path} is empty (0 bytes). {_REPAIR_COPY}")
    parser = next((parser for magic, parser in _PARSERS.items() if data.startswith(magic)), None)
    if parser is None:
        raise ImageError(
            f"{path} is not an image: its first bytes {data[:8]!r} are not those of a JPEG, PNG, BMP, WebP or"
            " TIFF. Hint: remove it, or convert it to one of these"
        )
    if file is None and _is_cut_off(parser, data):
        raise ImageError(
            f"{path} is cut off: it ends after {len(data)} bytes, in the middle of the image. {_REPAIR_COPY}"
        )
    try:
        if file is not None:
            file.seek(0)
        header = parser(file or BytesIO(data))
    except Exception as error:  # what Pillow raises for damaged headers is not documented
        raise ImageError(f"{path} has a damaged header: {error}. {_REPAIR_COPY}") from error
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path} says that it has {width} x {height} pixels, more than the {MAX_PIXELS} that are read at"
            " once. Hint: cut it into tiles"
        )
    return header


def _is_turned(header: ImageFile.ImageFile) -> bool:
    """Whether EXIF says to swap width and height (Pillow has already done so for TIFF; ``getexif`` would
    decode a whole PNG).
    """
    exif = Image.Exif()
    exif.load(header.info.get("exif", b""))
    return bool(exif.get(_ORIENTATION, 1) >= 5)


def _is_cut_off(parser: type[ImageFile.ImageFile], data: bytes) -> bool:
    """Whether the end of the image is missing, for the formats that mark it (decoders may fill the rest with
    gray).
    """
    if parser is JpegImagePlugin.JpegImageFile:
        return not _has_end_of_jpeg(data)
    if parser is PngImagePlugin.PngImageFile:
        return data.rfind(b"IEND\xaeB`\x82") < 0
    if parser is WebPImagePlugin.WebPImageFile:
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False


def _has_end_of_jpeg(data: bytes) -> bool:
    """Whether the first picture in a JPEG file ends with its end marker.

    Walks from marker to marker (ITU T.81, annex B), because thumbnails in the header, and previews and films
    that cameras append, have end markers of their own.
    """
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        if data[match.start() + 1] == 0xD9:
            return True
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
    return False


def _decode(path: FilePath, data: bytes) -> NDArray[Any]:
    """Pixels ``[H, W, 3]`` as BGR (asked for RGB, OpenCV 5.0 returns noise for TIFFs of 16 bits)."""
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ImageError(f"{path} cannot be decoded: {error.err}. {_REPAIR_COPY}") from error
    if array is None:
        raise ImageError(
            f"{path} cannot be decoded: it is damaged, cut off or of an unusual kind. {_REPAIR_COPY}, or"
            " convert it to PNG"
        )
    return np.asarray(array)


def _undo_scaling(image: Image.Image, data: bytes, values: NDArray[Any]) -> NDArray[Any]:
    """Pillow stretches gray PNGs of 2 and 4 bits to 0…255; label indexes must stay what they are."""
    bits, color_type = data[24], data[25]  # of the PNG's first chunk
    if isinstance(image, PngImagePlugin.PngImageFile) and color_type == 0 and bits in (2, 4):
        values //= 255 // (2**bits - 1)
    return values
