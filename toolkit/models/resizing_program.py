"""Images and logits at other sizes, without torch and rounded as torch does; becomes a part of
``predict.py``.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def bilinear(plane: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A plane, float32 [h, w], interpolated to [H, W], with half-pixel centers."""
    return cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def shrunk(
    image: np.ndarray[Any, Any], size: tuple[int, int], bits: int | None = None
) -> np.ndarray[Any, Any]:
    """An image, uint8 [H, W, 3], resized bilinearly with antialiasing, along x and then along y, with the
    weights in fixed point and the result of either in 8 bits. ``bits`` of the weights are those after the
    point: 22 in Pillow; in torch, as many as let the largest weight fit into 16.
    """
    for axis, length in ((1, size[1]), (0, size[0])):
        source = image.shape[axis]
        if source == length:
            continue
        weights = antialiasing(source, length)
        precision = _precision(weights.max()) if bits is None else bits
        fixed = np.trunc(weights * (1 << precision) + np.copysign(0.5, weights))
        summed = np.moveaxis(np.tensordot(fixed, image.astype(np.float64), axes=(1, axis)), 0, axis)
        rounded = np.floor((summed + (1 << (precision - 1))) / (1 << precision))
        image = rounded.clip(0, 255).astype(np.uint8)
    return image


def _precision(largest: float) -> int:
    """How many bits after the point let a weight fit into 16 bits."""
    bits = 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    return bits


def resized(image: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """An image, float [H, W, 3], resized bilinearly with antialiasing."""
    for axis, length in ((1, size[1]), (0, size[0])):
        if image.shape[axis] != length:
            weights = antialiasing(image.shape[axis], length)
            image = np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis).astype(np.float32)
    return image


def antialiasing(source: int, length: int) -> np.ndarray[Any, Any]:
    """The weight of each of ``source`` pixels in each of ``length``, [length, source]: a triangle as wide as
    the scale.
    """
    scale = source / length
    support = max(scale, 1.0)
    weights = np.zeros((length, source))
    for i in range(length):
        center = scale * (i + 0.5)
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), source)
        taps = 1 - np.abs((np.arange(first, last) - center + 0.5) / support)
        weights[i, first:last] = taps.clip(0) / taps.clip(0).sum()
    return weights
