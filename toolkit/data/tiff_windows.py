"""Reads TIFF, BigTIFF, OME-TIFF and GeoTIFF files part by part: the tiles or strips that a window touches are
decoded, and those of the last rows are kept.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.config.scale import Scale
from toolkit.data.image_decoding import check_range
from toolkit.data.image_files import FilePath, open_image_file
from toolkit.data.image_headers import REPAIR, Header, check_windows_budget, read_header
from toolkit.data.images import range_note
from toolkit.data.pixel_scale import Limits, Table, check_depth
from toolkit.data.tile_scale import Tiles, tile_scale
from toolkit.data.window_reading import WindowReader
from toolkit.errors import ImageError
from toolkit.runtime.extras import import_tifffile
from toolkit.types.pixel_runs import Rectangle

CACHE_BYTES = 1 << 28
"""Memory for decoded tiles, or strips."""

MOST_SEGMENT_PIXELS = 1 << 26
"""The largest tile or strip, in pixels; files with larger ones cannot be read in parts."""

_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
MOST_SEGMENTS = 1 << 22
"""The largest number of tiles or strips: their places are kept in memory."""

_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)  # scale, tie points, transformation, keys
_JPEGS = (6, 7)
_DEEP = (("f", 32), ("i", 32), ("u", 32))
_SEPARATE = 2


def open_tiff(
    path: FilePath, scale: Scale | None = None, known: Table | Limits | None = None
) -> TiffWindows | None:
    """Open a TIFF to read parts of it.

    Args:
        path: of the file.
        scale: how values become 8 bits, as for ``toolkit.data.images.read_image``. One by percentiles is for
            the whole image: before the first part, all tiles or strips are decoded once to count values, or
            twice if they have more than 16 bits.
        known: of an earlier reader of the file, which then need not be done again.

    Returns:
        None if this is no TIFF, or one of a kind that can only be read whole: with tiles or strips above
        ``MOST_SEGMENT_PIXELS`` or more than ``MOST_SEGMENTS``, rotated, with CMYK colors, or of another kind
        of values than 8 or 16 bits, or gray of 32 bits or floating-point numbers.

    Raises:
        ImageError: when the file cannot be opened or is damaged, claims more pixels than are allowed, is
            not of the scale's depth, or has 32 bits or floating-point numbers and there is no scale.
        UnavailableError: when tifffile or imagecodecs is not installed.
    """
    with ExitStack() as stack:
        file, size = stack.enter_context(open_image_file(path))
        header = read_header(path, file, size)
        if header.format != "TIFF":
            return None
        check_windows_budget(header)
        if scale is not None:
            check_depth(header.depth(), scale, path)
        else:
            check_range(header)
        library = import_tifffile("reading a TIFF window by window")
        file.seek(0)
        try:
            tiff = stack.enter_context(library.TiffFile(file, name=os.path.basename(path)))
            page = tiff.pages[0]
            usable = _is_usable(page, header)
        except Exception as error:  # what tifffile raises for damaged files is not documented
            raise ImageError(f"{path} has a damaged header: {error}. {REPAIR}") from error
        return TiffWindows(page, header, stack.pop_all(), scale, known) if usable else None


def _is_usable(page: Any, header: Header) -> bool:
    """Whether the tiles or strips of a page can be put together to what the whole page is read as."""
    if header.orientation() != 1 or page.imagedepth != 1 or page.subfiletype not in (0, 2):
        return False
    if tuple(page.shape[:1]) == () or page.dtype is None:
        return False
    bits, samples = page.bitspersample, page.samplesperpixel
    kinds = {_MIN_IS_BLACK: 1, _MIN_IS_WHITE: 1, _RGB: 3, _PALETTE: 1, _YCBCR: 3}
    if page.photometric not in kinds or samples < kinds[page.photometric]:
        return False
    if page.dtype.kind != "u" or bits not in (8, 16):
        is_deep = (page.dtype.kind, bits) in _DEEP and header.image.mode in ("I", "F")
        if not is_deep or page.photometric != _MIN_IS_BLACK or samples != 1:
            return False
    if page.photometric in (_MIN_IS_WHITE, _PALETTE) and bits != 8:
        return False
    if page.photometric == _YCBCR and page.compression not in _JPEGS:
        return False
    height, width = _segment_size(page)
    count = -(-page.imagelength // height) * -(-page.imagewidth // width)
    is_usual = height * width <= MOST_SEGMENT_PIXELS and count <= MOST_SEGMENTS
    return is_usual and (page.imagelength, page.imagewidth) == header.size()


def _segment_size(page: Any) -> tuple[int, int]:
    """Height and width of a tile, or of a strip."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    rows = page.rowsperstrip
    return min(int(rows) if rows and rows > 0 else page.imagelength, page.imagelength), int(page.imagewidth)


class TiffWindows(WindowReader, Tiles):
    """The first page of a TIFF; may be used by several threads.

    Args:
        page: of tifffile.
        header: of the file.
        resources: what is closed at the end.
        scale: how values become 8 bits; None for the usual rule.
        known: what was found out about the values before.
    """

    def __init__(
        self,
        page: Any,
        header: Header,
        resources: ExitStack,
        scale: Scale | None = None,
        known: Table | Limits | None = None,
    ) -> None:
        self._page, self._header, self._resources = page, header, resources
        self.size = int(page.imagelength), int(page.imagewidth)
        self._side = _segment_size(page)
        self._grid = -(-self.size[0] // self._side[0]), -(-self.size[1] // self._side[1])
        self._places: tuple[Any, Any] = page.dataoffsets, page.databytecounts
        self._known: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._bytes, self._most, self._lock = 0, 0, threading.Lock()
        self._colors = _colors_of(page)
        self.count = self._grid[0] * self._grid[1]
        colors = page.dtype if self._colors is None else self._colors.dtype
        self._scale = None if scale is None else tile_scale(scale, header.path, colors, known)

    @property
    def known(self) -> Table | Limits | None:
        """What is known about the values for the scale, for another reader of the file."""
        return None if self._scale is None else self._scale.known

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def notes(self) -> Mapping[str, str]:
        """The notes of the header, and whether 16 bits are nearly unused, or values were outside of the
        scale, in what was read.
        """
        if self._scale is None:
            return self._header.notes() | range_note(self._most)
        with self._lock:
            return self._header.notes() | self._scale.notes()

    def place_tags(self) -> Sequence[tuple[Any, ...]]:
        """The tags of a GeoTIFF."""
        tags = (self._page.tags.get(number) for number in _GEO_TAGS)
        try:
            return [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in tags if tag is not None]
        except Exception:  # what tifffile raises for damaged tags is not documented
            return ()

    def read(self, place: Rectangle) -> Tensor:
        """The pixels of a part of the image, uint8 ``[3, h, w]``, RGB.

        Raises:
            ImageError: when a tile or strip is damaged or lies beyond the end of the file.
        """
        pixels = np.empty((place.height, place.width, 3), np.uint8)
        height, width = self._side
        with self._lock:
            for row in range(place.top // height, -(-place.bottom // height)):
                for column in range(place.left // width, -(-place.right // width)):
                    around = Rectangle(row * height, column * width, (row + 1) * height, (column + 1) * width)
                    part = around.intersection(place)
                    found = self._segment(row, column)[
                        part.top - around.top : part.bottom - around.top,
                        part.left - around.left : part.right - around.left,
                    ]
                    pixels[
                        part.top - place.top : part.bottom - place.top,
                        part.left - place.left : part.right - place.left,
                    ] = found
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _segment(self, row: int, column: int) -> NDArray[np.uint8]:
        """A tile or strip as RGB, or as gray ``[h, w, 1]``."""
        number = row * self._grid[1] + column
        if number in self._known:
            self._known.move_to_end(number)
            return self._known[number]
        found = self._decoded(number)
        self._known[number] = found
        self._bytes += found.nbytes
        while self._bytes > CACHE_BYTES and len(self._known) > 1:
            self._bytes -= self._known.popitem(last=False)[1].nbytes
        return found

    def _decoded(self, number: int) -> NDArray[np.uint8]:
        values = self._stored(number)
        if self._scale is not None:
            return self._scale.levels(self, number, self._colored(values))
        if values.dtype != np.uint8:
            self._most = max(self._most, int(values.max(initial=0)))
            values = cv2.convertScaleAbs(np.ascontiguousarray(values), alpha=1 / 257)
        return np.asarray(self._colored(values), np.uint8)

    def inside(self, number: int, values: NDArray[Any] | None = None) -> NDArray[Any]:
        """The values of a tile or strip that lie within the image; see ``Tiles``."""
        values = self._colored(self._stored(number)) if values is None else values
        row, column = divmod(number, self._grid[1])
        return values[: self.size[0] - row * self._side[0], : self.size[1] - column * self._side[1]]

    def _stored(self, number: int) -> NDArray[Any]:
        """The values of a tile or strip, ``[h, w, bands]``."""
        bands, planes = self._bands(), 1
        if self._page.planarconfig == _SEPARATE and self._page.samplesperpixel > 1:
            planes = bands
        step = self.count
        values = np.concatenate([self._values(number + plane * step) for plane in range(planes)], axis=2)
        return values[..., :bands]

    def _colored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of which 0 is black, or the colors of a palette."""
        if self._page.photometric == _MIN_IS_WHITE:
            values = 255 - values
        values = np.asarray(values).reshape(*self._side, -1)
        return values if self._colors is None else self._colors[values[..., 0]]

    def _bands(self) -> int:
        return 3 if self._page.photometric in (_RGB, _YCBCR) else 1

    def _values(self, number: int) -> NDArray[Any]:
        """The numbers of a tile or strip, ``[h, w, bands]``, completed by zeros at the edges of the image."""
        page, (height, width) = self._page, self._side
        data = self._data(number)
        kinds = dict.fromkeys(("jpegtables", "jpegheader"))
        tables = {name: getattr(page, name, None) for name in kinds} if page.compression in _JPEGS else {}
        try:
            found, _, _ = page.decode(data, number, **tables)
        except Exception as error:  # what decoders raise for damaged data is not documented
            raise ImageError(f"{self._where(number)} cannot be decoded: {error}. {REPAIR}") from error
        if found is None:  # nothing was stored, which stands for zeros
            bands = 1 if page.planarconfig == _SEPARATE else page.samplesperpixel
            return np.zeros((height, width, bands), page.dtype.newbyteorder("="))
        part: NDArray[Any] = np.asarray(found)[0]
        part = part.astype(part.dtype.newbyteorder("="), copy=False)
        if part.shape[:2] != (height, width):
            whole = np.zeros((height, width, part.shape[2]), part.dtype)
            whole[: part.shape[0], : part.shape[1]] = part[:height, :width]
            return whole
        return part

    def _data(self, number: int) -> bytes | None:
        """The encoded bytes of a tile or strip; None if there are none."""
        offsets, counts = self._places
        if number >= len(offsets) or number >= len(counts):
            raise ImageError(f"{self._where(number)} is missing from the file. {REPAIR}")
        offset, count = int(offsets[number]), int(counts[number])
        if not count:
            return None
        if offset + count > self._header.file_size:
            raise ImageError(
                f"{self._where(number)} lies beyond the end of the file, which is cut off after"
                f" {self._header.file_size:,} bytes. {REPAIR}"
            )
        self._header.file.seek(offset)
        return self._header.file.read(count)

    def _where(self, number: int) -> str:
        row, column = divmod(number % self.count, self._grid[1])
        height, width = self._side
        kind = "tile" if self._page.is_tiled else "strip"
        return f"{self._header.path}: the {kind} at x {column * width}, y {row * height}"


def _colors_of(page: Any) -> NDArray[np.uint8] | None:
    """The colors of a palette, uint8 ``[256, 3]``, from 16 bits as Pillow reads them; None without one."""
    if page.photometric != _PALETTE:
        return None
    colors = np.zeros((256, 3), np.uint8)
    given = (np.asarray(page.colormap).T // 256).astype(np.uint8)
    colors[: len(given)] = given
    return colors
