"""COCO's keypoints name pixels by their indices; everywhere else coordinates are continuous, and a pixel's
middle is half a pixel on.

Detectron2 reads and writes them so, too. A point that is not there (visibility 0) stays where it is, at 0, 0
as a rule.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.floating)


def from_indices(keypoints: NDArray[Number]) -> NDArray[Number]:
    """Points ``[…, 3]`` of x, y and visibility (or score) as files have them, in continuous coordinates."""
    return _moved(keypoints, 0.5)


def to_indices(keypoints: NDArray[Number]) -> NDArray[Number]:
    """The way back."""
    return _moved(keypoints, -0.5)


def _moved(keypoints: NDArray[Number], distance: float) -> NDArray[Number]:
    moved = keypoints.copy()
    moved[..., :2] += distance * (keypoints[..., 2:] != 0)
    return moved
