"""COCO keypoints are pixel indices; everywhere else coordinates are continuous, and the center of a pixel is
half a pixel further.

Detectron2 reads and writes them the same way. A missing point (visibility 0) is left unchanged, usually at 0,
0.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.floating)


def from_indices(keypoints: NDArray[Number]) -> NDArray[Number]:
    """Convert points ``[…, 3]`` of x, y and visibility (or score) from pixel indices to continuous
    coordinates."""
    return _moved(keypoints, 0.5)


def to_indices(keypoints: NDArray[Number]) -> NDArray[Number]:
    """Convert continuous coordinates to pixel indices."""
    return _moved(keypoints, -0.5)


def _moved(keypoints: NDArray[Number], distance: float) -> NDArray[Number]:
    moved = keypoints.copy()
    moved[..., :2] += distance * (keypoints[..., 2:] != 0)
    return moved
