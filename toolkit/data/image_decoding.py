"""Decodes the bytes of an image file into pixels.

OpenCV decodes photos, because it is the fastest, and 16-bit color images, because Pillow returns 8 of their
16 bits. Pillow decodes everything else: OpenCV blends the colors of some files with their transparency, and
its handling of palettes, bands and pages changes from version to version.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from toolkit.data.image_headers import REPAIR, Header
from toolkit.errors import ImageError
from toolkit.runtime.extras import has_tifffile

# Larger files are read in pieces.
_WHOLE_FILE = 1 << 30
# The largest image that OpenCV decodes.
_OPENCV_PIXELS, _OPENCV_SIDE = 1 << 30, 1 << 20
# Larger JPEGs and PNGs are decoded without a second copy, by imagecodecs if it is installed.
_COPIED_PIXELS = 1 << 26
# Values whose colors are swapped at once.
_BAND_VALUES = 1 << 25
# Scans of a progressive JPEG: encoders write about ten, and each takes a pass over all pixels.
_USUAL_SCANS, _MOST_SCANS, _MOST_SCANNED = 24, 200, 1_000_000_000
# Not an escaped data byte, a restart marker or a fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_SCAN, _END = 0xDA, 0xD9
_END_OF_JPEG = bytes([0xFF, _END])
# Bytes to append to a JPEG without an end marker; one of them alone might look like its last pixels.
_FILLERS = 6
NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of images with one whole number per pixel."""


def decode_colors(header: Header) -> NDArray[Any]:
    """The pixels of an image as RGB, as displayed: ``[H, W, 3]``, uint8, or uint16 if the file has 16 bits
    per channel.

    Gray becomes three equal channels; palettes and CMYK become RGB; transparency is dropped without blending.

    Raises:
        ImageError: when the image is damaged or cut off, or the range of its pixels is unknown.
    """
    if _is_for_opencv(header):
        return _as_displayed(header, _by_opencv(header))
    check_range(header)
    image = load(header)
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        return _as_displayed(header, np.repeat(values[..., None], 3, axis=2))
    return _as_displayed(header, _rgb(header, image))


def check_range(header: Header) -> None:
    """Check that the values of an image have a range that is known without a scale; decodes nothing.

    Raises:
        ImageError: when they have none: 32 bits, or floating-point numbers.
    """
    mode = header.image.mode
    if mode in ("I", "F"):
        kind = "32-bit" if mode == "I" else "floating-point"
        raise ImageError(
            f"{header.path} has {kind} pixels (mode {mode}), whose range is not known; expected 8 or"
            " 16 bits per channel. Hint: train with data.options.scale, such as min-max, or scale them to the"
            " range of interest and save an 8-bit PNG"
        )


def decode_deep(header: Header) -> NDArray[Any]:
    """The pixels of an image with the values that the file has, as displayed: ``[H, W]`` for gray, otherwise
    ``[H, W, 3]``; uint8, uint16, int32, uint32 or float32.

    Raises:
        ImageError: when the image is damaged or cut off.
    """
    if header.image.mode not in ("I", "F"):
        colors = decode_colors(header)
        return np.ascontiguousarray(colors[..., 0]) if header.is_gray() else colors
    image = load(header)
    values = np.asarray(image)
    values = values.astype(values.dtype.newbyteorder("="))
    if image.mode == "I" and header.is_unsigned():
        values = values.view(np.uint32)
    return _as_displayed(header, values)


def decode_values(header: Header) -> NDArray[Any]:
    """The numbers of an image with one channel, as displayed, ``[H, W]``: indexes rather than the colors of a
    palette, and as stored rather than stretched to 8 bits.

    Raises:
        ImageError: when the image has colors, or is damaged or cut off.
    """
    image = load(header)
    if image.mode not in NUMBERS:
        raise ImageError(
            f"{header.path} {_what_else(image.mode)} (mode {image.mode}); expected one class index per pixel."
            " Hint: save it as a gray or palette PNG, or use a dataset that reads color-coded truth"
        )
    return _as_displayed(header, _unstretched(header, image))


def _what_else(mode: str) -> str:
    return "contains floating-point numbers" if mode == "F" else "is a color image"


def _is_for_opencv(header: Header) -> bool:
    image = header.image
    if header.pixels > _OPENCV_PIXELS or max(image.size) > _OPENCV_SIDE or header.file_size > _WHOLE_FILE:
        return False
    if header.format == "JPEG":
        return image.mode in ("L", "RGB")
    if header.format in ("PNG", "WebP"):
        return not getattr(image, "is_animated", False)
    return header.format == "TIFF" and header.bits() == 16 and image.mode in ("RGB", "RGBA")


def _by_opencv(header: Header) -> NDArray[Any]:
    """Pixels ``[H, W, 3]`` as RGB, in the stored orientation."""
    if header.has_planes():  # OpenCV returns other pixels, and Pillow 8 of the 16 bits
        raise ImageError(
            f"{header.path} has 16 bits per channel in separate planes, which are not read. Hint: save it"
            " with interleaved channels (TIFF's PlanarConfiguration 1), or as PNG"
        )
    data = _bytes_of(header)
    if header.pixels > _COPIED_PIXELS and has_tifffile() and _is_plain(header):
        return _by_imagecodecs(header, data)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"{header.path} cannot be decoded: {error.err}. {REPAIR}") from error
    if array is None:
        raise ImageError(
            f"{header.path} cannot be decoded: it is damaged, cut off or of an unusual kind. {REPAIR}, or"
            " convert it to PNG"
        )
    return _swapped(np.asarray(array))


def _is_plain(header: Header) -> bool:
    """Whether a JPEG or PNG has three channels of 8 bits, or a JPEG one, and nothing else."""
    if header.format == "JPEG":
        return True
    is_rgb = header.image.mode == "RGB" and header.bits() == 8
    return header.format == "PNG" and is_rgb and "transparency" not in header.image.info


def _by_imagecodecs(header: Header, data: bytes) -> NDArray[Any]:
    """The same pixels as from OpenCV, which has a second copy of them in memory for a moment."""
    import imagecodecs

    decode = imagecodecs.jpeg8_decode if header.format == "JPEG" else imagecodecs.png_decode
    try:
        pixels = np.asarray(decode(data))
    except Exception as error:  # its exceptions have no common base
        raise ImageError(f"{header.path} cannot be decoded: {error}. {REPAIR}") from error
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def _swapped(pixels: NDArray[Any]) -> NDArray[Any]:
    """BGR as RGB, in the same memory: OpenCV 5.0 returns noise for 16-bit TIFFs when it is asked for RGB, and
    copies what it converts, which for a large image takes as much memory again.
    """
    rows = max(1, _BAND_VALUES // (pixels.shape[1] * 3))
    for top in range(0, len(pixels), rows):
        band = pixels[top : top + rows]
        cv2.cvtColor(band, cv2.COLOR_BGR2RGB, dst=band)
    return pixels


def _bytes_of(header: Header) -> bytes:
    """All bytes of the file, whose end is checked, because decoders may fill missing parts with gray."""
    header.file.seek(0)
    data = header.file.read()
    if header.format == "JPEG":
        scans, has_end = _scans_of_jpeg(data)
        is_costly = scans > _USUAL_SCANS and scans * header.pixels > _MOST_SCANNED
        if scans > _MOST_SCANS or is_costly:
            raise ImageError(
                f"{header.path} has {scans} scans, each of which covers all pixels; expected"
                f" {_USUAL_SCANS if is_costly else _MOST_SCANS} at most. Hint: save it again"
            )
        if not has_end and _lacks_its_end_alone(header, data):
            return data.rstrip(b"\xff") + _END_OF_JPEG
        is_whole = has_end
    elif header.format == "PNG":
        is_whole = _has_whole_chunks(data)
    else:
        is_whole = header.format != "WebP" or len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if not is_whole:
        raise ImageError(
            f"{header.path} is cut off: it ends after {len(data)} bytes, without the marker at the end of"
            f" an image. {REPAIR}"
        )
    return data


def _scans_of_jpeg(data: bytes) -> tuple[int, bool]:
    """How many scans the first picture in a JPEG file has, and whether it ends with its end marker.

    Walks from marker to marker (ITU T.81, annex B), because thumbnails in the header, and previews and videos
    that cameras append, have end markers of their own.
    """
    position, scans = 2, 0
    while match := _JPEG_MARKER.search(data, position):
        marker = data[match.start() + 1]
        if marker == _END:
            return scans, True
        scans += marker == _SCAN
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
    return scans, False


def _lacks_its_end_alone(header: Header, data: bytes) -> bool:
    """Whether a JPEG without its end marker has all its pixels: then, appended bytes do not change them. In a
    progressive JPEG, whole scans may be missing without a trace.
    """
    if header.image.info.get("progressive"):
        return False
    # Half a marker would turn the next byte into a marker.
    data = data.rstrip(b"\xff")
    first: NDArray[Any] | None = None
    for seed in range(_FILLERS):
        filler = np.random.default_rng(seed).integers(0, 255, 1024, dtype=np.uint8).tobytes()
        try:
            pixels = np.array(type(header.image)(BytesIO(data + filler + _END_OF_JPEG)))
        except Exception:  # what Pillow raises for damaged files is not documented
            return False
        first = pixels if first is None else first
        if not np.array_equal(first, pixels):
            return False
    return True


def _has_whole_chunks(data: bytes) -> bool:
    """Whether all chunks of a PNG are complete in the file, up to the last one: OpenCV allocates as much
    memory as a chunk claims to have.
    """
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        position += 12 + length
        if name == b"IEND":
            return position <= len(data)
    return False


def load(header: Header) -> ImageFile.ImageFile:
    """The first page or frame, decoded by Pillow.

    Raises:
        ImageError: when it is damaged or cut off, or there is not enough memory.
    """
    source: BinaryIO = header.file
    if header.format in ("JPEG", "PNG", "WebP") or header.file_size <= _WHOLE_FILE:
        source = BytesIO(_bytes_of(header))
    source.seek(0)
    try:
        image = type(header.image)(source)
        image.load()
    except MemoryError as error:
        raise ImageError(
            f"{header.path} does not fit into memory: {header.image.width} x {header.image.height} pixels."
            " Hint: cut it into tiles"
        ) from error
    except Exception as error:  # what Pillow raises for damaged files is not documented
        raise ImageError(f"{header.path} is damaged or cut off: {error}. {REPAIR}") from error
    return image


def _rgb(header: Header, image: Image.Image) -> NDArray[np.uint8]:
    # Pillow would warn about it, or treat it as a color.
    image.info.pop("transparency", None)
    try:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except ValueError as error:
        raise ImageError(
            f"{header.path} has colors of an unusual kind (mode {image.mode}): {error}. Hint: convert it to"
            " PNG"
        ) from error


def _unstretched(header: Header, image: ImageFile.ImageFile) -> NDArray[Any]:
    """Pillow stretches gray of 2 and 4 bits to 0…255; label indexes must stay what they are."""
    values = np.array(image)
    # OpenCV rotates neither booleans nor numbers with the other byte order.
    values = values.astype(np.uint8 if values.dtype == bool else values.dtype.newbyteorder("="))
    bits = header.bits()
    if image.mode == "L" and bits in (2, 4):
        values //= 255 // (2**bits - 1)
    return values


def _as_displayed(header: Header, pixels: NDArray[Any]) -> NDArray[Any]:
    # TIFFs are rotated when they are decoded, by OpenCV even if it is told not to.
    return pixels if header.format == "TIFF" else turned(pixels, header.orientation())


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels ``[H, W]`` or ``[H, W, C]`` rotated and mirrored according to an EXIF orientation, 1 to 8."""
    if orientation in (5, 7):
        pixels = cv2.transpose(pixels)
    flips = {2: 1, 3: -1, 4: 0, 7: -1}
    if orientation in flips:
        pixels = cv2.flip(pixels, flips[orientation])
    turns = {6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    return np.asarray(cv2.rotate(pixels, turns[orientation]) if orientation in turns else pixels)
