"""Summarizes the appearance of an image in a kilobyte, to find copies and unusual images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.types.equality import ByValue

SIDE = 32
"""Height and width of the small gray version of an image, in pixels."""

FLAT = 4.0
"""The standard deviation of gray values, of 255, below which an image has too little content to be compared.
"""

FEATURES = ("brightness", "contrast", "saturation", "sharpness", "aspect ratio", "size")

Gray: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Look(ByValue):
    """The appearance of an image.

    Attributes:
        gray: uint8 ``[32, 32]``, the image averaged over a grid, regardless of its shape.
        hashes: two perceptual hashes of 64 bits: which of two neighboring cells is brighter (dHash), and
            which of the lowest frequencies are above their median (pHash).
        features: float32 ``[6]``, see ``FEATURES``: mean and standard deviation of gray, mean saturation (all
            of 255), and the natural logarithms of the mean absolute Laplacian, of width / height, and of the
            number of pixels.
    """

    gray: Gray
    hashes: tuple[int, int]
    features: NDArray[np.float32]

    @property
    def is_flat(self) -> bool:
        """Whether it has too little content to be compared."""
        return float(self.gray.std()) < FLAT


def look_of(image: Tensor) -> Look:
    """The appearance of an image.

    Args:
        image: uint8 ``[3, H, W]``, RGB.
    """
    height, width = image.shape[1:]
    # large enough for the statistics, and the same for all, so that sharpness can be compared; by color, as
    # the colors lie one after the other in memory
    colors = [
        cv2.resize(plane, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_AREA)
        for plane in np.ascontiguousarray(image.numpy())
    ]
    small = np.stack(colors, axis=-1)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    lowest, highest = cv2.min(cv2.min(*colors[:2]), colors[2]), cv2.max(cv2.max(*colors[:2]), colors[2])
    saturation = cv2.mean(cv2.subtract(highest, lowest))[0]
    edges = np.abs(cv2.Laplacian(gray, cv2.CV_32F)).mean()
    mean, deviation = cv2.meanStdDev(gray)
    features = (
        float(mean[0, 0]),
        float(deviation[0, 0]),
        float(saturation),
        math.log(float(edges) + 1),
        math.log(width / height),
        math.log(width * height),
    )
    tiny = np.asarray(cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    return Look(tiny, (_difference_hash(tiny), _frequency_hash(tiny)), np.array(features, np.float32))


def _difference_hash(gray: Gray) -> int:
    """Whether each of 8 × 8 cells is brighter than the one to its right."""
    parts = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return _as_number(parts[:, :-1] > parts[:, 1:])


def _frequency_hash(gray: Gray) -> int:
    """Whether each of the 8 × 8 lowest frequencies of the cosine transform is above their median; the mean
    is not counted.
    """
    low = cv2.dct(gray.astype(np.float32))[:8, :8].copy()
    low[0, 0] = 0
    return _as_number(low > np.median(low))


def _as_number(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
