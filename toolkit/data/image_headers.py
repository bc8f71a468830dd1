"""Reads the header of an image file: size, orientation, bands and pages. No pixels are decoded.

Pillow's parsers read the headers, through a reader that stops if a header does not end. Before any pixel is
decoded, the size of a file must be plausible for the pixels that it claims: a few bytes can claim gigabytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import SEEK_END
from typing import Any, BinaryIO, cast

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from toolkit.config.scale import Depth
from toolkit.data.bounded_file import HEADER_BYTES, BoundedFile
from toolkit.data.exif import ORIENTATION, exif_of_profile, exif_orientation, late_exif
from toolkit.data.image_files import FilePath
from toolkit.errors import ImageError, UsageError
from toolkit.types import Size
from toolkit.wording import counted

MAX_PIXELS = 20_000 * 20_000
"""Larger images are refused unless ``$TOOLKIT_MAX_PIXELS`` allows them: they take gigabytes each."""

FREE_BYTES = 120_000_000
"""Images that take no more memory than this are decoded no matter how small their files are: 40 megapixels in
color, or a label map of 120.
"""

PIXELS_PER_BYTE = 100
"""Pixels per byte of the file that larger images may claim; photos claim 2 to 20."""

MAX_WINDOWED_PIXELS, MOST_PER_BYTE = 100_000 * 100_000, 2_000
"""The same limits for images that are read window by window: tiles of one color compress to a thousandth."""

PIXELS_VARIABLE = "TOOLKIT_MAX_PIXELS"
"""The environment variable that allows images of up to this many pixels, however small their files are."""

_TO_TIFF = (
    "convert it to a tiled TIFF, of which infer --window reads parts (vips copy large.png"
    " 'large.tif[tile,compression=deflate,bigtiff]')"
)

REPAIR = "Hint: copy or download it again"

# Memory that a decoder needs, as a multiple of the image's own, if that is a lot.
_WORKSPACE = {"JPEG 2000": 4}
# Number of bytes by which a file may exceed its pixels, such as for a video that a camera appended.
_SPARE_BYTES = 1 << 28
# More than any format needs.
_BYTES_PER_PIXEL = 16
# The parser of WebP reads the whole file.
_HEADER_BYTES_OF = {"WebP": 1 << 28}
_IMAGE_WIDTH = 256
_PLANAR = 284
_SAMPLES_PER_PIXEL, _PHOTOMETRIC, _EXTRA_SAMPLES, _BITS, _SAMPLE_FORMAT = 277, 262, 338, 258, 339
_COLOR_BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3}  # by TIFF's photometric interpretation
_ALPHA = (1, 2, 999)  # kinds of extra samples in TIFF; the last is Corel Draw's


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """Skips the resolution, for which the parser would read the EXIF data and warn of every error in it."""

    def _read_dpi_from_exif(self) -> None:
        pass


_PARSERS: tuple[tuple[bytes, str, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", "JPEG", _Jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImagePlugin.PngImageFile),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
    (b"RIFF", "WebP", WebPImagePlugin.WebPImageFile),
    *((magic, "TIFF", TiffImagePlugin.TiffImageFile) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((magic, "GIF", GifImagePlugin.GifImageFile) for magic in (b"GIF87a", b"GIF89a")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (b"\xff\x4f\xff\x51", "JPEG 2000", Jpeg2KImagePlugin.Jpeg2KImageFile),
)
FORMATS = "JPEG, PNG, BMP, WebP, TIFF, GIF or JPEG 2000"


@dataclass(frozen=True)
class Header:
    """An image file whose header has been read.

    Attributes:
        path: the path of the file, for messages.
        file: its bytes, with the header at the beginning.
        file_size: its size in bytes.
        format: ``"JPEG"``, ``"PNG"``, ….
        image: the result of Pillow's parser, not decoded.
    """

    path: FilePath
    file: BinaryIO
    file_size: int
    format: str
    image: ImageFile.ImageFile

    @property
    def pixels(self) -> int:
        """How many pixels the image claims to have."""
        return self.image.width * self.image.height

    def size(self) -> Size:
        """Height and width in pixels, as displayed."""
        width, height = self.image.size
        # Pillow has already applied the orientation of a TIFF to its size.
        turned = self.format != "TIFF" and self.orientation() >= 5
        return (width, height) if turned else (height, width)

    def orientation(self) -> int:
        """How the image has to be rotated for display, 1 to 8 as in EXIF; 1 if that is damaged."""
        info: dict[Any, Any] = self.image.info
        if self.format == "TIFF":
            value = _tag(self.image, ORIENTATION, 1)
            return value if value in range(1, 9) else 1
        exif = info.get("exif") or b""
        if self.format == "PNG" and not exif:
            exif = exif_of_profile(info.get("Raw profile type exif")) or late_exif(self.file)
        return exif_orientation(exif)

    def notes(self) -> dict[str, str]:
        """Descriptions of what a reader of three bands and one page leaves out, by ``"pages"`` and
        ``"bands"``.
        """
        notes = {}
        if self._has_more_pages():
            notes["pages"] = "has several pages or frames, of which only the first is read"
        if extra := self._extra_bands():
            bands = "a further band" if extra == 1 else f"{extra} further bands"
            notes["bands"] = (
                f"has {bands} in addition to its colors, which is ignored: more than three channels are not"
                " supported"
            )
        return notes

    def _has_more_pages(self) -> bool:
        if self.format == "TIFF":
            return bool(getattr(_tags(self.image), "next", 0))
        try:
            return bool(getattr(self.image, "is_animated", False))
        except Exception:  # what Pillow raises for a damaged second frame is not documented
            return False

    def _extra_bands(self) -> int:
        if self.format != "TIFF":
            return 0
        colors = _COLOR_BANDS.get(_tag(self.image, _PHOTOMETRIC, 2), 4)
        kinds = _tag(self.image, _EXTRA_SAMPLES, ())
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        bands: int = _tag(self.image, _SAMPLES_PER_PIXEL, 1)
        return max(0, bands - colors - sum(kind in _ALPHA for kind in kinds))

    def bits(self) -> int:
        """Bits per channel, for the formats that can have more than 8: PNG and TIFF."""
        if self.format == "PNG":
            self.file.seek(24)
            return self.file.read(1)[0]
        if self.format == "TIFF":
            bits = _tag(self.image, _BITS, 1)
            return int(max(bits)) if isinstance(bits, tuple) else int(bits)
        return 8

    def depth(self) -> Depth:
        """The kind of the values, of which a scale knows the range or does not."""
        if self.image.mode == "F":
            return "float"
        if self.bits() <= 8 and not self.image.mode.startswith("I"):
            return "8-bit"
        return "16-bit" if self.bits() <= 16 else "32-bit"

    def is_gray(self) -> bool:
        """Whether each pixel has one value, not the index of a color."""
        return self.image.mode in ("1", "L", "I", "F") or self.image.mode.startswith("I;16")

    def has_planes(self) -> bool:
        """Whether a TIFF stores its channels one after another."""
        return self.format == "TIFF" and not self.is_gray() and bool(_tag(self.image, _PLANAR, 1) == 2)

    def is_unsigned(self) -> bool:
        """Whether the numbers of a TIFF have no sign."""
        form = _tag(self.image, _SAMPLE_FORMAT, 1)
        return bool((form[0] if isinstance(form, tuple) else form) == 1)


def read_header(path: FilePath, file: BinaryIO, file_size: int) -> Header:
    """Read the header of an image.

    Args:
        path: where the bytes come from, for messages.
        file: all of its bytes, from the start.
        file_size: number of bytes.

    Raises:
        ImageError: when this is not an image, or its header is damaged.
    """
    start = file.read(16)
    file.seek(0)
    if not start:
        raise ImageError(f"{path} is empty (0 bytes). {REPAIR}")
    found = next(((name, parser) for magic, name, parser in _PARSERS if start.startswith(magic)), None)
    if found is None:
        raise ImageError(
            f"{path} is not a readable image ({FORMATS}): it begins with {start[:8]!r}. Hint: remove it, or"
            " convert it to one of these"
        )
    name, parser = found
    try:
        bounded = BoundedFile(file, file_size, _HEADER_BYTES_OF.get(name, HEADER_BYTES))
        image = parser(cast(BinaryIO, bounded))
    except Image.DecompressionBombError as error:  # only for WebP, whose parser has its own limit
        raise ImageError(f"{path} has too many pixels: {error} Hint: cut it into tiles") from error
    except Exception as error:  # what Pillow raises for damaged headers is not documented
        if name == "TIFF" and (unusual := _unusual_tiff(file, start)):
            kind, bands = unusual
            way_out = "convert it to an 8-bit PNG, or numbers of one channel to 32-bit floats"
            if bands not in (1, 3):
                way_out = "save one of them, or three as colors: other numbers of channels are not supported"
            raise ImageError(
                f"{path} has {kind}, whose range of values is not known or which is not supported; expected"
                f" 1 to 16 bits per channel, gray or in color. Hint: {way_out}"
            ) from error
        raise ImageError(f"{path} has a damaged header: {error}. {REPAIR}") from error
    return Header(path, file, file_size, name, image)


def check_budget(header: Header, bytes_per_pixel: int, *, expected: Size | None = None) -> None:
    """Refuse an image that claims more pixels than are allowed, or more than are plausible for its file.

    Args:
        header: the header of the image.
        bytes_per_pixel: memory per pixel.
        expected: height and width that the image must have; one of this size may have a file of any size,
            such as a label map of one class.

    Raises:
        ImageError: says what is claimed, and the variable that allows it.
    """
    width, height = header.image.size
    claim = f"{header.path} says that it has {width} x {height} pixels"
    way_out = f"set the environment variable {PIXELS_VARIABLE}={header.pixels} to read it anyway"
    if header.format != "TIFF" and header.file_size > _SPARE_BYTES + _BYTES_PER_PIXEL * header.pixels:
        raise ImageError(
            f"{claim}, and its file has {header.file_size:,} bytes, far more than such an image can take."
            " Hint: save the image again"
        )
    is_free = header.pixels * bytes_per_pixel * _WORKSPACE.get(header.format, 1) <= FREE_BYTES
    is_plausible = header.pixels <= PIXELS_PER_BYTE * header.file_size
    is_accounted_for = is_free or is_plausible or (expected is not None and header.size() == expected)
    if (header.pixels <= MAX_PIXELS and is_accounted_for) or header.pixels <= _allowed_pixels():
        return
    if header.pixels > MAX_PIXELS:
        smaller = "cut it into tiles" if header.format == "TIFF" else _TO_TIFF
        raise ImageError(
            f"{claim}, more than the {MAX_PIXELS} that are allowed. Hint: {smaller}, or {way_out}"
        )
    raise ImageError(
        f"{claim} in a file of {header.file_size:,} bytes: more than {PIXELS_PER_BYTE} pixels per byte,"
        f" which no photo has. Hint: check where it comes from; if you trust it, {way_out}"
    )


def check_windows_budget(header: Header) -> None:
    """Refuse an image to be read window by window that claims more pixels than are allowed, or far more than
    compression can account for. Memory does not depend on them, but time does.

    Raises:
        ImageError: says what is claimed, and the variable that allows it.
    """
    is_accounted_for = header.pixels <= MOST_PER_BYTE * header.file_size
    if (header.pixels <= MAX_WINDOWED_PIXELS and is_accounted_for) or header.pixels <= _allowed_pixels():
        return
    width, height = header.image.size
    limit = f"{MAX_WINDOWED_PIXELS:,} pixels, or {MOST_PER_BYTE:,} per byte"
    raise ImageError(
        f"{header.path} says that it has {width} x {height} pixels in {header.file_size:,} bytes; expected"
        f" at most {limit}. Hint: check where it comes from; if you trust it, set the environment variable"
        f" {PIXELS_VARIABLE}={header.pixels} to read it anyway"
    )


def most_pixels() -> int:
    """The number of pixels up to which images are read whole."""
    return max(MAX_PIXELS, _allowed_pixels())


def _allowed_pixels() -> int:
    value = os.environ.get(PIXELS_VARIABLE, "").strip()
    try:
        return int(float(value)) if value else 0
    except (ValueError, OverflowError):
        raise UsageError(
            f"{PIXELS_VARIABLE} must be a number of pixels, not {value!r}. Hint: set it to 1e9, for example"
        ) from None


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _tag(image: Image.Image, number: int, default: Any) -> Any:
    """The value of a TIFF tag; ``default`` if there is none that can be read."""
    try:
        value = _tags(image).get(number, default)
    except Exception:  # what Pillow raises for damaged tags is not documented
        return default
    return default if value is None else value


def _unusual_tiff(file: BinaryIO, start: bytes) -> tuple[str, int] | None:
    """A description of a TIFF that Pillow cannot read, and its number of bands; None if it is damaged as
    well.
    """
    try:
        # The header of a BigTIFF has 16 bytes.
        directory = TiffImagePlugin.ImageFileDirectory_v2(start if 43 in start[2:4] else start[:8])
        bounded = BoundedFile(file, file.seek(0, SEEK_END))
        bounded.seek(directory.next)
        directory.load(cast(Any, bounded))
        bits, form = directory.get(_BITS, (1,)), directory.get(_SAMPLE_FORMAT, (1,))
        bands = int(directory.get(_SAMPLES_PER_PIXEL, len(bits)))
        width = max(bits) if directory[_IMAGE_WIDTH] else 0
    except Exception:  # as above
        return None
    numbers = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}.get(max(form), "unsigned")
    return f"{counted(bands, 'band')} of {width}-bit {numbers} numbers", bands
