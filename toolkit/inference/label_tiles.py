"""The label map of a giant image as compressed tiles on the disk, which become a TIFF at its end."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError, InvalidDataError
from toolkit.inference.window_journal import WindowJournal
from toolkit.models.label_bands import Band
from toolkit.reading.fields import Count, Schema
from toolkit.reading.files import check_file
from toolkit.runtime.extras import import_tifffile
from toolkit.runtime.files import atomic_write, open_to_append, writing
from toolkit.types import Size
from toolkit.visualization.palettes import Palette, full_palette

TILE = 512
"""Side of the tiles, in pixels."""

_MOST_BYTES = (1 << 32) - (1 << 26)  # of the tiles in a TIFF that is no BigTIFF


class _Entry(Schema):
    """A row of tiles: the number of its first line of pixels, and the bytes of each tile."""

    top: Count
    sizes: list[Count]


class LabelTiles:
    """A label map that is written from its top to its bottom, row of tiles by row of tiles; open as a
    context.

    Args:
        journal: of the image; has a line for each row of tiles.
        size: height and width of the image, in pixels.

    Attributes:
        counts: int64 ``[256]``, the number of pixels of each class so far.

    Raises:
        OutputError: when the file cannot be opened or written.
    """

    def __init__(self, journal: WindowJournal, size: Size) -> None:
        self._journal, self.size = journal, size
        self._path = journal.path.with_suffix(".tiles")
        self.counts = np.zeros(256, np.int64)
        self._sizes: list[list[int]] = []
        self._waiting = np.zeros((TILE, self._columns * TILE), np.uint8)
        self._filled = 0  # rows of it
        self._file = open_to_append(self._path)
        try:
            self._take_up()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> LabelTiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What a full disk did not accept cannot be written here either.
        with (
            contextlib.nullcontext() if error is None else contextlib.suppress(Exception),
            writing(self._path),
        ):
            self._file.close()

    @property
    def _columns(self) -> int:
        return -(-self.size[1] // TILE)

    @property
    def top(self) -> int:
        """The first row of pixels that is not on the disk."""
        return min(len(self._sizes) * TILE, self.size[0])

    @property
    def byte_count(self) -> int:
        """Size of the compressed tiles."""
        return sum(map(sum, self._sizes))

    def _take_up(self) -> None:
        """Find the rows of tiles that are on the disk and whole; the rest is cut off."""
        kept = 0
        with closing(self._journal.take_up(_Entry)) as entries, open(self._path, "rb") as file:
            for entry in entries:
                if entry.top != self.top or len(entry.sizes) != self._columns or self.top >= self.size[0]:
                    break
                tiles = [file.read(size) for size in entry.sizes]
                try:
                    rows = self._joined(tiles, entry.top)
                except (zlib.error, ValueError):
                    break
                self.counts += np.bincount(rows.ravel(), minlength=256)
                self._sizes.append(list(entry.sizes))
                kept += sum(entry.sizes)
        with writing(self._path):
            self._file.truncate(kept)

    def add(self, band: Band) -> None:
        """Take the next rows of the label map.

        Raises:
            InvalidDataError: when they are not the next ones.
            OutputError: when they cannot be written.
        """
        if band.top != len(self._sizes) * TILE + self._filled:
            raise InvalidDataError(f"rows from {band.top}; expected those from {self.top + self._filled}")
        labels, first = band.labels.numpy(), 0
        while first < len(labels):
            count = min(TILE - self._filled, len(labels) - first)
            self._waiting[self._filled : self._filled + count, : self.size[1]] = labels[first : first + count]
            first, self._filled = first + count, self._filled + count
            if self._filled == TILE or self.top + self._filled == self.size[0]:
                self._write()

    def _write(self) -> None:
        top = self.top
        self._waiting[self._filled :] = 0
        tiles = [
            _compressed(self._waiting[:, column * TILE : (column + 1) * TILE])
            for column in range(self._columns)
        ]
        with writing(self._path):
            self._file.write(b"".join(tiles))
            self._file.flush()
        sizes = [len(tile) for tile in tiles]
        self._journal.add({"top": top, "sizes": sizes})
        rows = self._waiting[: self._filled, : self.size[1]]
        self.counts += np.bincount(rows.ravel(), minlength=256)
        self._sizes.append(sizes)
        self._filled = 0

    def _joined(self, tiles: Sequence[bytes], top: int) -> NDArray[np.uint8]:
        """The pixels of a row of tiles, without what lies outside of the image."""
        decoded = [_decompressed(tile) for tile in tiles]
        return np.concatenate(decoded, axis=1)[: self.size[0] - top, : self.size[1]]

    def tiles(self) -> Iterator[list[bytes]]:
        """The compressed tiles, row by row.

        Raises:
            DataError: when the file is no longer there.
        """
        check_file(self._path, "the tiles of a label map", DataError)
        with open(self._path, "rb") as file:
            for sizes in self._sizes:
                yield [file.read(size) for size in sizes]

    def overview(self, step: int) -> Tensor:
        """Every ``step``-th pixel of every ``step``-th row, from the middle of each block (or the last pixel
        of the image), uint8 ``[ceil(H / step), ceil(W / step)]``.
        """
        rows, columns = (
            np.minimum(np.arange(0, length, step) + step // 2, length - 1) for length in self.size
        )
        parts = []
        for number, tiles in enumerate(self.tiles()):
            top = number * TILE
            chosen = rows[(rows >= top) & (rows < top + TILE)] - top
            parts.append(self._joined(tiles, top)[chosen][:, columns])
        return torch.from_numpy(np.concatenate(parts))


def write_tiff(
    path: Path,
    tiles: LabelTiles,
    palette: Palette,
    values: LabelValues,
    tags: Sequence[tuple[Any, ...]] = (),
) -> None:
    """Write a label map as a tiled, compressed TIFF with the classes' colors as its palette, BigTIFF if it
    needs to be.

    Args:
        path: the file.
        tiles: all tiles of the label map.
        palette: the color of each value.
        values: the value of each class.
        tags: further tags, as tifffile takes them.

    Raises:
        OutputError: when the file cannot be written.
        DataError: when a pixel has no class, and the values have none for that.
        UnavailableError: when tifffile is not installed.
    """
    tifffile = import_tifffile("a tiled label map")
    encoded = (
        tile if values.are_indexes else _encoded(tile, values) for row in tiles.tiles() for tile in row
    )
    colors = full_palette(palette)[:256].T.astype(np.uint16) * 257
    with (
        atomic_write(path) as file,
        tifffile.TiffWriter(file, bigtiff=tiles.byte_count > _MOST_BYTES) as writer,
    ):
        writer.write(
            encoded,
            shape=tiles.size,
            dtype=np.uint8,
            tile=(TILE, TILE),
            compression="adobe_deflate",
            photometric="palette",
            colormap=colors,
            metadata=None,
            software=False,
            extratags=list(tags),
        )


def _encoded(tile: bytes, values: LabelValues) -> bytes:
    return _compressed(values.encode(torch.from_numpy(_decompressed(tile))).numpy())


def _compressed(tile: NDArray[np.uint8]) -> bytes:
    # Run-length matching suits label maps: it is as fast as no compression, and smaller than the default.
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return packer.compress(tile.tobytes()) + packer.flush()


def _decompressed(tile: bytes) -> NDArray[np.uint8]:
    """The pixels of a tile; a ``ValueError`` or ``zlib.error`` when it is damaged or of another size."""
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(tile, TILE * TILE + 1)
    if not unpacker.eof:
        raise ValueError("the tile does not end")
    return np.frombuffer(data, np.uint8).reshape(TILE, TILE).copy()
