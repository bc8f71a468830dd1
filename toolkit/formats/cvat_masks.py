"""The run lengths of masks in CVAT: of the pixels in a rectangle, row by row, background first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.types import Masks, Size
from toolkit.types.pixel_runs import code_of_runs, runs_of_code


def decode_cvat_mask(
    lengths: Sequence[int], corner: tuple[int, int], extent: tuple[int, int], size: Size, where: str
) -> bytes:
    """A mask as compressed COCO run lengths.

    Args:
        lengths: of the runs.
        corner: ``left, top`` of the rectangle, in pixels.
        extent: its width and height.
        size: height and width of the image.
        where: file and record, for messages.

    Raises:
        DataError: when the rectangle is not within the image, or the runs do not fill it.
    """
    (left, top), (width, height) = corner, extent
    if left < 0 or top < 0 or min(extent) < 1 or left + width > size[1] or top + height > size[0]:
        raise DataError(
            f"{where}: a mask of {width} x {height} pixels at {left}, {top} extends beyond the image of"
            f" {size[1]} x {size[0]}. Hint: use the image that was annotated, or draw it again"
        )
    if any(length < 0 for length in lengths) or sum(lengths) != width * height:
        raise DataError(
            f"{where}: the run lengths of its mask do not cover the {width} x {height} pixels of its"
            " rectangle. Hint: export the annotations again, or draw it again"
        )
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, np.array(lengths, np.int64))
    code = Masks.from_dense(flat.reshape(1, height, width)).counts[0]
    return code_of_runs(runs_of_code(code, (height, width), top, left), size)


def encode_cvat_mask(mask: NDArray[np.bool_]) -> list[int]:
    """The run lengths of a mask that fills its rectangle.

    Args:
        mask: bool ``[H, W]`` with at least one pixel.
    """
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    lengths: list[int] = np.diff(edges).tolist()
    return [0, *lengths] if flat[0] else lengths
