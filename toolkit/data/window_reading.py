"""Reads images part by part, so that an image need not fit into memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.types import Size
from toolkit.types.pixel_runs import Rectangle

_BAND_PIXELS = 1 << 24


class WindowReader(AbstractContextManager["WindowReader"], ABC):
    """An image of which any part can be read.

    Attributes:
        size: height and width in pixels, as displayed.
    """

    size: Size

    @abstractmethod
    def read(self, place: Rectangle) -> Tensor:
        """The pixels of a part of the image, uint8 ``[3, h, w]``, RGB; the same as in the whole image.

        Raises:
            ImageError: when they cannot be read, such as because the file is cut off.
        """

    def notes(self) -> Mapping[str, str]:
        """What in the file is not in what was read so far; see ``toolkit.data.images.Picture``."""
        return {}

    def place_tags(self) -> Sequence[tuple[Any, ...]]:
        """The tags by which another TIFF of the same size lies at the same place on a map, as tifffile takes
        them.
        """
        return ()

    def close(self) -> None:
        """Close the file."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def overview(self, step: int) -> Tensor:
        """The image made smaller by a whole number, each pixel the mean of ``step x step`` pixels (fewer at
        the right and at the bottom), uint8 ``[3, ceil(H / step), ceil(W / step)]``. It is read in bands.
        """
        height, width = self.size
        rows = max(1, _BAND_PIXELS // width // step) * step
        bands = []
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            pixels = self.read(Rectangle(top, 0, bottom, width)).permute(1, 2, 0).numpy()
            bands.append(_shrunk(np.ascontiguousarray(pixels), step))
        return torch.from_numpy(np.concatenate(bands)).permute(2, 0, 1)


def _shrunk(pixels: NDArray[Any], step: int) -> NDArray[Any]:
    """Means of blocks, of which those at the end are completed by repeating the last row and column."""
    height, width = pixels.shape[:2]
    below, right = -height % step, -width % step
    if below or right:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE))
    size = pixels.shape[1] // step, pixels.shape[0] // step
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


class WholeImage(WindowReader):
    """An image in memory.

    Args:
        pixels: uint8 ``[3, H, W]``.
    """

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels
        self.size = int(pixels.shape[1]), int(pixels.shape[2])

    def read(self, place: Rectangle) -> Tensor:
        """A view of the pixels."""
        return self._pixels[:, place.top : place.bottom, place.left : place.right]
