"""Probabilities from an exported classifier, in NumPy alone; becomes a part of ``predict.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolkit.models.resizing_program import resized


def predict(
    image: np.ndarray[Any, Any],
    graphs: Mapping[str, Callable[..., list[np.ndarray[Any, Any]]]],
    manifest: Mapping[str, Any],
) -> dict[str, np.ndarray[Any, Any]]:
    """The probability of each class for an RGB image, uint8 [H, W, 3], as float32 [classes]."""
    given = manifest["processing"]["input"]
    size = given["size"][0], given["size"][1]
    pixels = _cropped(image, size) if given["fit"] == "crop" else image
    std = np.asarray(given["std"], np.float32)
    scale = np.float32(1) / (np.float32(255) * std)
    normalized = (
        resized(pixels.astype(np.float32), size) * scale - np.asarray(given["mean"], np.float32) / std
    )
    (logits,) = graphs["network"](np.ascontiguousarray(normalized.transpose(2, 0, 1)[None]))
    exponentials = np.exp(logits[0] - logits[0].max())
    return {"class_probabilities": exponentials / exponentials.sum()}


def _cropped(image: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """The largest part in the middle of an image that has the aspect ratio of ``size``."""
    height, width = image.shape[:2]
    scale = min(height / size[0], width / size[1])
    h = max(1, min(height, round(size[0] * scale)))
    w = max(1, min(width, round(size[1] * scale)))
    up, left = (height - h) // 2, (width - w) // 2
    return image[up : up + h, left : left + w]
