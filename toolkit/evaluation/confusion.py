"""Confusion matrices of label maps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import VOID

STRIP_PIXELS = 1 << 24
"""OpenCV returns its counts as float32, which represents integers exactly up to this one."""

LANES = 4
"""Neighboring pixels mostly have the same class, and incrementing the same counter again and again stalls a
CPU. So pixels are taken alternately from four distant places, which is 1.5 times as fast."""

LabelMap = Tensor | NDArray[Any]


def confusion_matrix(truth: LabelMap, prediction: LabelMap, num_classes: int) -> NDArray[np.int64]:
    """Count how many pixels of each true class were predicted as each class.

    Args:
        truth: uint8 ``[H, W]`` of class indexes and ``VOID``, a tensor on the CPU or an array.
        prediction: the same for the prediction.
        num_classes: ``C``, from 1 to 255.

    Returns:
        int64 ``[C + 1, C + 1]``: row ``t``, column ``p`` counts pixels of class ``t`` that were predicted as
        ``p``; the last row and column stand for ``VOID``.

    Raises:
        InvalidDataError: when shapes, dtypes or ``num_classes`` do not fit, or a value is neither a class nor
            ``VOID``.
    """
    if not 1 <= num_classes <= VOID:
        raise InvalidDataError(f"num_classes must be 1 … {VOID}, not {num_classes}")
    pair = [_array("truth", truth), _array("prediction", prediction)]
    if pair[0].shape != pair[1].shape:
        raise InvalidDataError(
            f"truth and prediction differ in size: {list(pair[0].shape)} and {list(pair[1].shape)}"
        )
    truths, predictions = (array.reshape(-1) for array in pair)
    counts = np.zeros((256, 256), dtype=np.int64)  # all values of a byte, so that invalid ones are noticed
    whole = len(truths) // LANES * LANES
    for start in range(0, whole, STRIP_PIXELS):
        strip = slice(start, min(start + STRIP_PIXELS, whole))
        images = [_interleave(truths[strip]), _interleave(predictions[strip])]
        counts += cv2.calcHist(images, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    np.add.at(counts, (truths[whole:], predictions[whole:]), 1)
    for name, totals in (("truth", counts.sum(1)), ("prediction", counts.sum(0))):
        _check_values(name, totals, num_classes)
    kept = [*range(num_classes), VOID]
    return counts[np.ix_(kept, kept)]


def _interleave(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels in one row, in a different order that is the same for all arrays of the same
    length."""
    lanes = list(pixels.reshape(LANES, -1))
    return np.asarray(cv2.merge(lanes), dtype=np.uint8).reshape(1, -1)


def _array(name: str, label_map: LabelMap) -> NDArray[np.uint8]:
    array = label_map.numpy() if isinstance(label_map, Tensor) else label_map
    if array.dtype != np.uint8 or array.ndim != 2:
        raise InvalidDataError(f"{name} must be uint8 [H, W], not {array.dtype} {list(array.shape)}")
    return np.ascontiguousarray(array)


def _check_values(name: str, totals: NDArray[np.int64], num_classes: int) -> None:
    unknown = np.flatnonzero(totals[num_classes:VOID]) + num_classes
    if len(unknown):
        value, more = (
            int(unknown[0]),
            f" (and {len(unknown) - 1} other invalid values)" if len(unknown) > 1 else "",
        )
        raise InvalidDataError(
            f"the {name} has value {value} in {int(totals[value])} pixels{more}, but there are {num_classes}"
            f" classes: values are 0 … {num_classes - 1}, and {VOID} for void"
        )
