"""The largest class at every pixel where only some cells of the logits leave it undecided: those alone are
interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import VOID, Size

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Labels = NDArray[np.uint8]
Bools = NDArray[np.bool_]

ROUNDING = 2.0**-19
"""Maximum difference of float32 interpolations of two classes due to rounding, relative to the corners,
doubled for safety.

An interpolated value goes through 4 roundings of at most ``2**-24``; a difference of two, computed in two
ways, through 16.
"""

TINY = 1e-30
"""Differences below this are left undecided at any scale: subnormal numbers have fewer digits."""

CHUNK = 1 << 15
"""Pixels interpolated at a time, cell by cell: a few buffers of 128 KB, which stay in the cache."""

PLANES = 1 << 24
"""Pixels interpolated at a time, plane by plane: 64 MB, or one plane if that is larger."""

CELL_COST = 8
"""Cost of a value interpolated cell by cell, relative to plane by plane (6 to 12 were measured).
"""


def interpolate(images: Tensor, size: Size) -> Tensor:
    """Images ``[N, C, h, w]`` at another size, by torch's bilinear interpolation."""
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class _Taps:
    """The weights with which torch interpolates one axis of a source that is padded by one copy of its edge
    on either side.

    Output ``j`` is ``low[j] * padded[cell[j]] + high[j] * padded[cell[j] + 1]``; cell ``i`` has the
    ``count[i]`` outputs from ``first[i]`` on. (The padding gives the outputs beyond the outermost source
    pixels their own cell.)
    """

    cell: Ints
    low: Floats
    high: Floats
    first: Ints
    count: Ints

    def outputs(self, cells: Ints) -> Ints:
        """The outputs of some cells, ``[K, max(count)]``; a cell with fewer repeats its last."""
        first, count = self.first[cells, None], self.count[cells, None]
        return first + np.minimum(np.arange(self.count.max()), count - 1)


def _taps(source: int, target: int) -> _Taps:
    """Read the weights off torch itself, bit for bit, by interpolating four combs that are 1 at every fourth
    place.
    """
    combs = torch.arange(source) % 4 == torch.arange(4)[:, None]
    weights = interpolate(combs.float()[:, None, None, :], (1, target))[:, 0, 0].numpy()  # [4, target]
    position = (np.arange(target) + 0.5) * source / target - 0.5
    nearby = (
        np.clip(position, 0, source - 1).astype(np.int64) - 1 + np.arange(4)[:, None]
    )  # float32 may land one cell off
    weights = np.concatenate(
        [np.take_along_axis(weights, nearby % 4, axis=0), np.zeros((1, target), np.float32)]
    )
    lowest = (weights != 0).argmax(axis=0)
    at = np.arange(target)
    cell = np.where(position < 0, 0, nearby[lowest, at] + 1)
    count = np.bincount(cell, minlength=source + 1)
    return _Taps(cell, weights[lowest, at], weights[lowest + 1, at], count.cumsum() - count, count)


def pruned_argmax(logits: Tensor, size: Size, budget: float) -> Tensor | None:
    """Interpolate only the cells whose corners leave the class undecided. None if that costs more than
    ``budget`` values; arguments as for ``toolkit.models.label_maps.logits_to_label_map``.

    In NumPy, because it consists of hundreds of small steps: torch would distribute each over all threads and
    wait for the last of them, which is slower than interpolating everything when other work keeps the cores
    busy.
    """
    rows, columns = _taps(logits.shape[1], size[0]), _taps(logits.shape[2], size[1])
    padded = np.pad(logits.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    winner, decided = _corner_winners(padded)
    y, x = np.nonzero(~decided & (rows.count > 0)[:, None] & (columns.count > 0))
    pixels = int(rows.count.max() * columns.count.max())
    if 2 * len(y) * pixels * CELL_COST > budget:  # two contenders a cell, at least
        return None

    label_map = winner[:, columns.cell][rows.cell]
    ties = []
    step = max(1, CHUNK // pixels)
    for start in range(0, len(y), step):
        cells = _contenders(padded, y[start : start + step], x[start : start + step])
        at_y, at_x = rows.outputs(cells.y), columns.outputs(cells.x)
        labels, tied = _interpolate_cells(cells, rows, columns, at_y, at_x)
        label_map[at_y[:, :, None], at_x[:, None, :]] = labels
        cell, i, j = np.nonzero(tied)
        ties.append(
            _Ties(at_y[cell, i], at_x[cell, j], cells.y[cell], cells.count[cell], cells.classes[:, cell])
        )
        budget -= int(cells.count.sum()) * pixels * CELL_COST + ties[-1].classes.size * (
            size[0] + 2 * size[1]
        )
        if budget < 0:
            return None
    if any(len(part.y) for part in ties):
        joined = _Ties.join(ties)
        step = max(1, PLANES // (len(joined.classes) * (size[0] + 2 * size[1])))
        for start in range(0, len(joined.y), step):
            part = joined[start : start + step]
            label_map[part.y, part.x] = _ask_torch(logits, size, part)
    return torch.from_numpy(label_map)


def _corner_winners(logits: Floats) -> tuple[Labels, Bools]:
    """The class that is largest at the upper left corner of each cell, uint8 ``[h - 1, w - 1]``, and whether
    it is so, beyond any rounding, at all four, bool ``[h - 1, w - 1]``.
    """
    best, second = logits[0].copy(), np.full_like(logits[0], -np.inf)
    winner = np.zeros(best.shape, np.uint8)
    for index, plane in enumerate(logits[1:], start=1):
        np.copyto(winner, index, where=plane > best)
        np.maximum(second, np.minimum(best, plane), out=second)
        np.maximum(best, plane, out=best)
    clear = best - second > np.abs(best) * ROUNDING + TINY
    corners = [
        np.where(clear, winner, VOID)[top : top - 1 or None, left : left - 1 or None]
        for top in (0, 1)
        for left in (0, 1)
    ]
    decided = corners[0] != VOID
    for corner in corners[1:]:
        decided &= corner == corners[0]
    return winner[:-1, :-1], decided


@dataclass(frozen=True)
class _Cells:
    """``K`` source cells, those with most contenders first. A cell's contenders are in ascending order of
    class.

    Attributes:
        y: row of the upper left corner in the padded source, ``[K]``; ``x`` its column.
        count: how many classes can win somewhere in the cell, ``[K]``, descending.
        classes: these classes, ``[max(count), K]``; past ``count`` a filler.
        corners: their logits, float32 ``[4, max(count), K]``: upper left, upper right, lower left, lower
            right.
    """

    y: Ints
    x: Ints
    count: Ints
    classes: Ints
    corners: Floats


def _contenders(logits: Floats, y: Ints, x: Ints) -> _Cells:
    """Leave out of each cell the classes that stay below the lowest corner of another."""
    corners = np.stack([logits[:, y + dy, x + dx] for dy in (0, 1) for dx in (0, 1)])  # [4, C, K]
    bar = corners.min(axis=0).max(axis=0)
    contends = corners.max(axis=0) >= bar - np.abs(bar) * ROUNDING - TINY
    count = contends.sum(axis=0)
    order = np.argsort(-count, kind="stable")
    count = count[order]
    cell, label = np.nonzero(contends.T[order])
    classes = np.zeros((count[0], len(y)), np.int64)
    classes[np.arange(len(cell)) - (count.cumsum() - count)[cell], cell] = label
    return _Cells(y[order], x[order], count, classes, corners[:, classes, order])


def _interpolate_cells(
    cells: _Cells, rows: _Taps, columns: _Taps, at_y: Ints, at_x: Ints
) -> tuple[Labels, Bools]:
    """The largest class at every pixel of some cells, uint8 ``[K, sy, sx]``, and where rounding leaves it
    open, bool.
    """
    low_x, high_x = columns.low[at_x], columns.high[at_x]  # [K, sx]
    low_y, high_y = rows.low[at_y][:, :, None], rows.high[at_y][:, :, None]  # [K, sy, 1]
    best = np.full((len(cells.y), at_y.shape[1], at_x.shape[1]), -np.inf, np.float32)
    second, labels = best.copy(), np.zeros(best.shape, np.uint8)
    for place, label in enumerate(cells.classes.astype(np.uint8)):
        k = np.count_nonzero(
            cells.count > place
        )  # the cells are sorted, so those with this many contenders come first
        upper_left, upper_right, lower_left, lower_right = cells.corners[:, place, :k, None]
        upper = upper_left * low_x[:k] + upper_right * high_x[:k]
        lower = lower_left * low_x[:k] + lower_right * high_x[:k]
        value = upper[:, None] * low_y[:k]
        value += lower[:, None] * high_y[:k]  # [k, sy, sx]
        np.copyto(labels[:k], label[:k, None, None], where=value > best[:k])
        np.maximum(second[:k], np.minimum(best[:k], value), out=second[:k])
        np.maximum(best[:k], value, out=best[:k])
    scale = np.abs(cells.corners).max(axis=(0, 1))[:, None, None]
    return labels, best - second <= scale * ROUNDING + TINY


@dataclass(frozen=True)
class _Ties:
    """``P`` pixels of the label map whose class depends on torch's own rounding.

    Attributes:
        y: row in the label map, ``[P]``; ``x`` its column.
        row: upper row of the cell in the padded source, ``[P]``.
        count: how many classes contend, ``[P]``.
        classes: these classes in ascending order, ``[max(count), P]``; past ``count`` a filler.
    """

    y: Ints
    x: Ints
    row: Ints
    count: Ints
    classes: Ints

    def __getitem__(self, pixels: slice) -> _Ties:
        return _Ties(
            self.y[pixels], self.x[pixels], self.row[pixels], self.count[pixels], self.classes[:, pixels]
        )

    @classmethod
    def join(cls, parts: Sequence[_Ties]) -> _Ties:
        """All pixels of some parts."""
        most = max(len(part.classes) for part in parts)
        y, x, row, count = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("y", "x", "row", "count")
        )
        return cls(
            y,
            x,
            row,
            count,
            np.hstack([np.pad(part.classes, ((0, most - len(part.classes)), (0, 0))) for part in parts]),
        )


def _ask_torch(logits: Tensor, size: Size, ties: _Ties) -> Labels:
    """The class that torch finds at each pixel, uint8 ``[P]``: its own kernel along x, then along y, rounds
    as in two dimensions.
    """
    k, p = ties.classes.shape
    _, height, width = logits.shape
    at = np.arange(p)
    ends = np.clip(
        np.stack([ties.row - 1, ties.row]), 0, height - 1
    )  # [2, P], the cell's rows without padding
    lines = logits.numpy()[ties.classes[:, None], ends].reshape(-1, 1, 1, width)
    wide = interpolate(torch.from_numpy(lines), (1, size[1])).numpy().reshape(k, 2, p, size[1])
    column = np.zeros((k, p, height), np.float32)
    for end, row in enumerate(ends):
        column[:, at, row] = wide[:, end, at, ties.x]
    tall = (
        interpolate(torch.from_numpy(column.reshape(k * p, 1, height, 1)), (size[0], 1))
        .numpy()
        .reshape(k, p, size[0])
    )
    value = tall[:, at, ties.y]
    value[np.arange(k)[:, None] >= ties.count] = -np.inf
    found: Labels = ties.classes[value.argmax(axis=0), at].astype(np.uint8)
    return found
