"""Generated images of any size, with objects of which the truth is known, and a model that finds them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from toolkit.models.capabilities import Windowable
from toolkit.models.contract import Model
from toolkit.types import Instances, Masks, Prediction, Sample, Size
from toolkit.types.pixel_runs import Rectangle, Runs, bounds_of, codes_of_runs, runs_of_code

TILE = 512
BRIGHT = 100
"""Objects are brighter, everything else is darker."""


@dataclass(frozen=True, eq=False)
class Blob:
    """An object.

    Attributes:
        top, left: place of its mask in the image.
        mask: bool ``[h, w]``.
        value: its brightness.
    """

    top: int
    left: int
    mask: NDArray[np.bool_]
    value: int

    @property
    def runs(self) -> Runs:
        """Its pixels in the image."""
        return runs_of_mask(self.mask, self.top, self.left)


def runs_of_mask(mask: NDArray[np.bool_], top: int, left: int) -> Runs:
    """The pixels of a mask that lies somewhere in an image."""
    return runs_of_code(Masks.from_dense(mask[None]).counts[0], mask.shape, top, left)


class Scene:
    """Objects that neither overlap nor touch, on a grid with random offsets: ellipses, and long bars that go
    through several windows.

    Args:
        side: height and width of the image, in pixels.
        density: objects per square of 20,000 x 20,000 pixels.
    """

    def __init__(self, side: int, density: int) -> None:
        random = np.random.default_rng(side)
        self.side = side
        pitch = 20_000 / density**0.5
        self.blobs: list[Blob] = []
        rows = int(side / pitch)
        for row in range(rows):
            column = 0
            while column < rows:
                cells = 6 if row % 10 == 5 and column + 6 <= rows else 1
                self.blobs.append(_blob(random, row * pitch, column * pitch, pitch, cells))
                column += cells

    def rows(self, top: int, bottom: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Rows of the image, gray ``[h, W]``, and where there are objects."""
        pixels = np.random.default_rng(top).integers(0, 8, (bottom - top, self.side), dtype=np.uint8) * 8
        inside = np.zeros(pixels.shape, bool)
        for blob in self.blobs:
            height, width = blob.mask.shape
            first, last = max(top, blob.top), min(bottom, blob.top + height)
            if first < last:
                place = slice(first - top, last - top), slice(blob.left, blob.left + width)
                mask = blob.mask[first - blob.top : last - blob.top]
                inside[place] |= mask
                pixels[place][mask] = blob.value
        return pixels, inside

    def write(self, path: Path) -> None:
        """Write the image as a tiled, compressed TIFF, a row of tiles at a time."""
        tifffile.imwrite(
            path,
            self._tiles(),
            shape=(self.side, self.side, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            compression="adobe_deflate",
            photometric="rgb",
            metadata=None,
        )

    def write_whole(self, path: Path) -> None:
        """Write the image as a PNG or JPEG, by its suffix; it is in memory."""
        pixels = np.empty((self.side, self.side, 3), np.uint8)
        for top in range(0, self.side, TILE):
            bottom = min(self.side, top + TILE)
            pixels[top:bottom] = self.rows(top, bottom)[0][..., None]
        if not cv2.imwrite(str(path), pixels):
            raise OSError(f"{path} cannot be written")

    def _tiles(self) -> Iterator[bytes]:
        count = -(-self.side // TILE)
        for row in range(count):
            pixels, _ = self.rows(row * TILE, min(self.side, (row + 1) * TILE))
            whole = np.zeros((TILE, count * TILE), np.uint8)
            whole[: len(pixels), : self.side] = pixels
            for column in range(count):
                tile = whole[:, column * TILE : (column + 1) * TILE]
                yield zlib.compress(np.repeat(tile[..., None], 3, axis=2).tobytes(), 1)


def _blob(random: np.random.Generator, top: float, left: float, pitch: float, cells: int) -> Blob:
    height, width = int(pitch * 0.94), int(pitch * (cells - 0.06))
    mask = np.zeros((height, width), np.uint8)
    radius = np.array([height, width]) / 2
    axes = random.uniform(0.1, 0.5 if cells == 1 else 0.2) * height, random.uniform(0.3, 0.9) * radius[1]
    if cells > 1:
        axes = axes[0], radius[1] - 1
    spare = np.maximum(radius - np.ceil(axes) - 1, 0)
    middle = radius + random.uniform(-1, 1, 2) * spare
    center = int(middle[1]), int(middle[0])
    cv2.ellipse(mask, center, (int(axes[1]), int(axes[0])), 0, 0, 360, 1, -1)
    return Blob(int(top) + 1, int(left) + 1, mask > 0, int(random.integers(130, 250)))


class Components(Model, Windowable):
    """An oracle: the connected bright regions that an image, or a window of one, shows."""

    def __init__(self) -> None:
        super().__init__(("blob",))

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Each region with its pixels, and the fraction of the image that it covers as score."""
        return [Prediction(each.id, each.size, instances=self._found(each)) for each in samples]

    def _found(self, sample: Sample) -> Instances:
        bright = np.ascontiguousarray(sample.image[0].numpy() > BRIGHT).view(np.uint8)
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
        runs, boxes = [], []
        for number in range(1, count):
            x, y, width, height, _ = (int(value) for value in stats[number])
            mask = numbers[y : y + height, x : x + width] == number
            runs.append(runs_of_mask(mask, y, x))
            boxes.append([x, y, x + width, y + height])
        areas = torch.from_numpy(stats[1:, cv2.CC_STAT_AREA].astype(np.float32))
        return Instances(
            sample.size,
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.zeros(len(runs), dtype=torch.int64),
            Masks.encoded(sample.size, codes_of_runs(runs, sample.size)),
            0.5 + areas / (2 * sample.size[0] * sample.size[1]),
        )


def overlapping(bounds: Sequence[Rectangle], cell: int) -> dict[tuple[int, int], list[int]]:
    """The numbers of the rectangles that touch each cell of a grid."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, each in enumerate(bounds):
        for row in range(each.top // cell, each.bottom // cell + 1):
            for column in range(each.left // cell, each.right // cell + 1):
                found.setdefault((row, column), []).append(number)
    return found


def runs_of_results(codes: Sequence[str], size: Size) -> list[tuple[Runs, Rectangle]]:
    """The pixels and bounds of objects in the results."""
    runs = [runs_of_code(code.encode(), size) for code in codes]
    return [(each, bounds_of(each)) for each in runs]
