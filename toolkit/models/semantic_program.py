"""Label maps from an exported semantic model, in NumPy alone; becomes a part of ``predict.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def predict(
    image: np.ndarray[Any, Any],
    graphs: Mapping[str, Callable[..., list[np.ndarray[Any, Any]]]],
    manifest: Mapping[str, Any],
) -> dict[str, np.ndarray[Any, Any]]:
    """The label map of an RGB image, uint8 [H, W, 3], as uint8 [H, W] of class numbers."""
    given = manifest["processing"]["input"]
    size = image.shape[0], image.shape[1]
    working = _working_size(size, given["long_side"])
    pixels = image if working == size else _shrunk(image, working)

    scale = np.float32(1) / (np.float32(255) * np.asarray(given["std"], np.float32))
    shift = np.asarray(given["mean"], np.float32) / np.asarray(given["std"], np.float32)
    normalized = pixels.astype(np.float32) * scale - shift
    padded = tuple(-(-side // given["divisor"]) * given["divisor"] for side in working)
    rows = _padded_index(working[0], padded[0], given["padding"])
    columns = _padded_index(working[1], padded[1], given["padding"])
    batch = np.ascontiguousarray(normalized[rows][:, columns].transpose(2, 0, 1)[None])

    (logits,) = graphs["network"](batch)
    logits = _bilinear(logits[0], padded)[:, : working[0], : working[1]]
    return {"label_map": _bilinear(logits, size).argmax(0).astype(np.uint8)}


def _working_size(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    """The size at which the network sees an image, before padding."""
    longest = max(size)
    if long_side is None or longest <= long_side:
        return size
    height, width = (max(1, round(n * long_side / longest)) for n in size)
    return height, width


def _padded_index(length: int, padded: int, padding: str) -> np.ndarray[Any, Any]:
    """For each row or column of the padded image, that of the image."""
    index, last = np.arange(padded), length - 1
    if padding == "replicate" or last == 0:
        return index.clip(0, last)
    return last - np.abs(index % (2 * last) - last)


def _bilinear(planes: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Planes [C, h, w] interpolated to [C, H, W], with half-pixel centers."""
    for axis, length in ((1, size[0]), (2, size[1])):
        source = planes.shape[axis]
        if source == length:
            continue
        scale = np.float32(source) / np.float32(length)
        centers = scale * (np.arange(length, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
        centers = centers.clip(0)
        low = np.minimum(centers.astype(np.int64), source - 1)
        high = np.minimum(low + 1, source - 1)
        weight = (centers - low).reshape((-1, 1) if axis == 1 else (1, -1))
        planes = planes.take(low, axis) * (1 - weight) + planes.take(high, axis) * weight
    return planes


def _shrunk(image: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """An image, uint8 [H, W, 3], resized bilinearly with antialiasing, along x and then along y, with the
    weights in fixed point and the result of either in 8 bits.
    """
    for axis, length in ((1, size[1]), (0, size[0])):
        source = image.shape[axis]
        if source == length:
            continue
        weights = _antialiasing(source, length)
        largest, bits = weights.max(), 0
        while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
            bits += 1
        fixed = np.trunc(weights * (1 << bits) + np.copysign(0.5, weights))
        summed = np.moveaxis(np.tensordot(fixed, image.astype(np.float64), axes=(1, axis)), 0, axis)
        image = np.floor((summed + (1 << (bits - 1))) / (1 << bits)).clip(0, 255).astype(np.uint8)
    return image


def _antialiasing(source: int, length: int) -> np.ndarray[Any, Any]:
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
