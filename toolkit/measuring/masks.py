"""Masks of objects inside their boxes, one at a time, so that no mask of the whole image is ever dense."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from toolkit.types import Masks
from toolkit.types.run_lengths import decode_counts

Box = tuple[int, int, int, int]


def cropped_masks(masks: Masks) -> Iterator[tuple[NDArray[np.uint8], Box]]:
    """Each mask inside its box, uint8 ``[y1 - y0, x1 - x0]`` of 0 and 1, and the box as x0, y0, x1, y1 in
    pixels; one without pixels is ``[0, 0]``.
    """
    for code, (x0, y0, x1, y1) in zip(masks.counts, masks.boxes_xyxy().long().tolist(), strict=True):
        box = (x0, y0, x1, y1)
        yield _cropped(code, masks.size[0], box), box


def _cropped(code: bytes, height: int, box: Box) -> NDArray[np.uint8]:
    x0, y0, x1, y1 = box
    # runs go down the columns; those of the box, cut off where it begins and ends
    ends = np.clip(np.cumsum(decode_counts(code)) - x0 * height, 0, (x1 - x0) * height)
    runs = np.diff(ends, prepend=0)
    values = np.arange(len(runs), dtype=np.uint8) & 1
    columns = np.repeat(values, runs).reshape(x1 - x0, height)
    return np.ascontiguousarray(columns[:, y0:y1].T)
