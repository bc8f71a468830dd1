"""Label maps from an exported semantic model, without torch; becomes a part of ``predict.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolkit.models.resizing_program import bilinear, shrunk


def predict(
    image: np.ndarray[Any, Any],
    graphs: Mapping[str, Callable[..., list[np.ndarray[Any, Any]]]],
    manifest: Mapping[str, Any],
) -> dict[str, np.ndarray[Any, Any]]:
    """The label map of an RGB image, uint8 [H, W, 3], as uint8 [H, W] of class numbers."""
    given = manifest["processing"]["input"]
    size = image.shape[0], image.shape[1]
    working = _working_size(size, given["long_side"])
    pixels = image if working == size else shrunk(image, working)

    scale = np.float32(1) / (np.float32(255) * np.asarray(given["std"], np.float32))
    shift = np.asarray(given["mean"], np.float32) / np.asarray(given["std"], np.float32)
    normalized = pixels.astype(np.float32) * scale - shift
    padded = tuple(-(-side // given["divisor"]) * given["divisor"] for side in working)
    rows = _padded_index(working[0], padded[0], given["padding"])
    columns = _padded_index(working[1], padded[1], given["padding"])
    batch = np.ascontiguousarray(normalized[rows][:, columns].transpose(2, 0, 1)[None])

    (logits,) = graphs["network"](batch)
    label_map = np.zeros(size, np.uint8)
    largest = np.full(size, -np.inf, np.float32)
    # one class after the other, since the logits of all of them may not fit into memory at the image's size
    for number, plane in enumerate(logits[0]):
        inside = bilinear(plane, padded)[: working[0], : working[1]]
        logit = inside if working == size else bilinear(inside, size)
        better = logit > largest
        label_map[better] = number
        np.copyto(largest, logit, where=better)
    return {"label_map": label_map}


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
