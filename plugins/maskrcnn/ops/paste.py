"""Converts small masks over boxes to run-length encodings of the image's size, without ever building an image
of that size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.types import Masks, Size
from toolkit.types.run_lengths import encode_counts

_STRIPE = 1 << 20  # pixels interpolated at once
_CLOSE = 1e-5  # larger than any rounding error of an interpolated probability


def paste_masks(probabilities: Tensor, boxes: Tensor, size: Size, threshold: float = 0.5) -> Masks:
    """Resize each mask to its box, bilinearly and fading to 0 beyond its outer cells, and apply the
    threshold.

    Pixels more than one beyond the box are left out. The result equals that of Detectron2's
    ``paste_masks_in_image`` on a CPU, which samples a grid with ``F.grid_sample``, bit for bit. Here rows and
    columns are interpolated separately; the few pixels where rounding could matter are sampled with
    ``F.grid_sample``.

    Args:
        probabilities: float32 ``[N, m, m]`` on the CPU.
        boxes: float32 ``[N, 4]`` in pixels of the image; a box without area or outside the image gives an
            empty mask.
        size: height and width of the image.
        threshold: minimum probability (above 0) of a pixel on the object.
    """
    height, width = size
    codes: list[bytes] = []
    for mask, (x0, y0, x1, y1) in zip(probabilities, boxes.tolist(), strict=True):
        left, right = _range(x0, x1, width)
        top, bottom = _range(y0, y1, height)
        edges = [np.zeros(0, np.int64)]
        step = max(_STRIPE // max(bottom - top, 1), 1)
        for first in range(left, right, step):
            x = _grid(first, min(first + step, right), x0, x1)
            on_object = _interpolate(mask, x, _grid(top, bottom, y0, y1), threshold)
            edges.append(_edges(on_object.numpy(), first, top, height))
        codes.append(_encode(np.concatenate(edges), size))
    return Masks.encoded(size, codes)


def sample_masks(probabilities: Tensor, boxes: Tensor, size: Size, threshold: float = 0.5) -> Masks:
    """``paste_masks`` using only ``F.grid_sample``, each mask into a separate image."""
    height, width = size
    codes: list[bytes] = []
    for mask, (x0, y0, x1, y1) in zip(probabilities, boxes.tolist(), strict=True):
        (left, right), (top, bottom) = _range(x0, x1, width), _range(y0, y1, height)
        dense = torch.zeros(1, height, width, dtype=torch.bool)
        if left < right and top < bottom:
            y, x = torch.meshgrid(_grid(top, bottom, y0, y1), _grid(left, right, x0, x1), indexing="ij")
            grid = torch.stack([x, y], dim=-1)[None]
            values = F.grid_sample(mask[None, None], grid, align_corners=False)[0]
            dense[:, top:bottom, left:right] = values >= threshold
        codes += Masks.from_dense(dense).counts
    return Masks.encoded(size, codes)


def _range(low: float, high: float, length: int) -> tuple[int, int]:
    """The first pixel and the one after the last that a mask between ``low`` and ``high`` can reach."""
    if not low < high:
        return 0, 0
    return int(min(max(np.floor(low) - 1, 0), length)), int(min(max(np.ceil(high) + 1, 0), length))


def _grid(first: int, last: int, low: float, high: float) -> Tensor:
    """Positions of pixel centers in the box, -1 at its low side and 1 at the high one."""
    start, end = torch.tensor([low, high])  # as float32, for the same rounding as in Detectron2
    grid: Tensor = (torch.arange(first, last, dtype=torch.float32) + 0.5 - start) / (end - start) * 2 - 1
    return grid


def _interpolate(mask: Tensor, x: Tensor, y: Tensor, threshold: float) -> Tensor:
    """Whether the threshold is reached at each pair of grid positions, bool ``[len(x), len(y)]``."""
    values = _weights(x, mask.shape[1]) @ mask.T @ _weights(y, mask.shape[0]).T
    reached = values >= threshold
    column, row = torch.nonzero((values - threshold).abs() < _CLOSE, as_tuple=True)
    if len(column):
        grid = torch.stack([x[column], y[row]], dim=1)
        reached[column, row] = (
            F.grid_sample(mask[None, None], grid[None, None], align_corners=False)[0, 0, 0] >= threshold
        )
    return reached


def _weights(positions: Tensor, cells: int) -> Tensor:
    """The weight of each cell's value at grid positions: ``[P, cells]``, at most two in a row."""
    at = ((positions + 1) * cells - 1) / 2
    low = at.floor()
    weights = torch.zeros(len(at), cells + 4)  # two more cells on either side, of zeros that are cut off
    column = low.clamp(-2, cells).long()[:, None] + 2
    weights.scatter_(1, column, (low + 1 - at)[:, None])
    weights.scatter_(1, column + 1, (at - low)[:, None])
    return weights[:, 2:-2]


def _edges(on_object: np.ndarray[Any, Any], left: int, top: int, height: int) -> np.ndarray[Any, Any]:
    """The alternating starts and ends of runs, counting pixels down the columns of the image; ``on_object``
    is ``[columns, rows]`` of a crop.
    """
    columns, rows = on_object.shape
    framed = np.zeros((columns, rows + 2), bool)
    framed[:, 1:-1] = on_object
    column, row = np.nonzero(framed[:, 1:] != framed[:, :-1])
    edges: np.ndarray[Any, Any] = (column + left) * height + (row + top)
    return edges


def _encode(edges: np.ndarray[Any, Any], size: Size) -> bytes:
    """A run-length encoding from the starts and ends of runs; a run that starts where another ends continues
    it in the next column.
    """
    meets = np.flatnonzero(edges[:-1] == edges[1:])
    if len(meets):
        edges = np.delete(edges, np.concatenate([meets, meets + 1]))
    pixels = size[0] * size[1]
    ends = [] if len(edges) and edges[-1] == pixels else [pixels]
    marks = np.concatenate([[0], edges, ends]).astype(np.int64)
    return encode_counts(marks[1:] - marks[:-1])
