"""Label maps, computed from logits or from instances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import InvalidDataError
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
"""Cost of a value interpolated cell by cell, relative to plane by plane (6 to 12 were measured)."""


def logits_to_label_map(logits: Tensor, size: Size) -> Tensor:
    """The class with the largest logit at every pixel, after bilinear interpolation to the image's size.

    Equal at every pixel to
    ``F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0].argmax(0)`` on contiguous
    logits (the first class wins a tie), but on a CPU an order of magnitude faster on logits that look like a
    segmentation: where one class is largest at all four corners of a source cell, it is largest everywhere in
    the cell, so only the other cells are interpolated. Other logits, such as noise, and other devices are
    handled one class at a time, which is also exact.

    Args:
        logits: ``[C, h, w]``, floating (half precision is widened to float32 first), ``1 <= C <= 255``.
        size: height and width of the label map, in pixels.

    Returns:
        uint8 ``[H, W]`` of class indexes, on the device of ``logits``. Temporary memory is about 100 MB or a
        few single-channel images, whichever is larger, regardless of the number of classes.

    Raises:
        InvalidDataError: when shape, dtype or size do not fit, or a logit is NaN or infinite.
    """
    _check_logits(logits, size)
    logits = logits.detach().float().contiguous()
    largest = _magnitude(logits)
    if not math.isfinite(largest):
        raise InvalidDataError(
            "logits must be finite, but some are NaN or infinite. Hint: check the model's weights and"
            " precision"
        )
    classes, height, width = logits.shape
    if (height, width) == tuple(size):
        return _argmax(logits)
    # If there is little to gain, torch may also choose another kernel, which rounds differently; such cases
    # are left to torch.
    worthwhile = classes > 4 and min(size) > 128 and size[0] * size[1] >= 4 * height * width
    if worthwhile and logits.device.type == "cpu" and 1e-25 < largest < 1e37:  # where float32 is precise
        label_map = _pruned_argmax(logits, size, budget=classes * size[0] * size[1])
        if label_map is not None:
            return label_map
    return _plain_argmax(logits, size)


def _check_logits(logits: Tensor, size: Size) -> None:
    fits = (
        logits.dim() == 3
        and logits.is_floating_point()
        and 1 <= logits.shape[0] <= VOID
        and logits.numel() > 0
    )
    if not fits:
        found = f"{str(logits.dtype).removeprefix('torch.')} {list(logits.shape)}"
        raise InvalidDataError(
            f"logits must be floating [C, h, w] with 1 to {VOID} classes and at least one pixel, not {found}"
        )
    if len(size) != 2 or min(size) < 1:
        raise InvalidDataError(f"size must be (height, width) as positive integers, not {size!r}")


def _magnitude(logits: Tensor) -> float:
    """The largest absolute value, or NaN if there is one."""
    if logits.device.type == "cpu":
        values = logits.numpy()  # in this thread only, see ``_pruned_argmax``
        return max(float(values.max()), -float(values.min()))
    return float(logits.abs().amax())


def _interpolate(images: Tensor, size: Size) -> Tensor:
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _argmax(logits: Tensor) -> Tensor:
    """``logits.argmax(0)`` as uint8. On a CPU, torch's ``max`` finds the index many times faster than its
    ``argmax``.
    """
    strips = torch.split(logits, max(1, PLANES // logits[:, 0].numel()), dim=1)
    return torch.cat([strip.max(dim=0).indices.to(torch.uint8) for strip in strips])


def _plain_argmax(logits: Tensor, size: Size) -> Tensor:
    """Interpolate a few classes at a time and keep the largest so far."""
    if len(logits) <= 4 or sum(size) <= 128:  # torch's other kernels, which process all channels
        return _argmax(_interpolate(logits[None], size)[0])
    best = torch.full(size, -torch.inf, device=logits.device)
    label_map = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    step = max(1, PLANES // best.numel())
    for first in range(0, len(logits), step):
        planes = _interpolate(logits[first : first + step, None], size)[:, 0]
        value, index = planes.max(dim=0)
        label_map = torch.where(value > best, index.to(torch.uint8) + first, label_map)
        torch.maximum(best, value, out=best)
    return label_map


@dataclass(frozen=True)
class _Taps:
    """The weights with which torch interpolates one axis of a source that is padded with one copy of its edge
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
    """Obtain torch's own weights, bit for bit, by interpolating four combs that are 1 at every fourth
    position.
    """
    combs = torch.arange(source) % 4 == torch.arange(4)[:, None]
    weights = _interpolate(combs.float()[:, None, None, :], (1, target))[:, 0, 0].numpy()  # [4, target]
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


def _pruned_argmax(logits: Tensor, size: Size, budget: float) -> Tensor | None:
    """Interpolate only the cells whose corners leave the class undecided. None if that costs more than
    ``budget`` values.

    In NumPy, because it consists of hundreds of small steps: torch would distribute each over all threads and
    wait for the last of them, which is slower than interpolating everything when other work keeps the cores
    busy.
    """
    rows, columns = _taps(logits.shape[1], size[0]), _taps(logits.shape[2], size[1])
    padded = np.pad(logits.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    winner, decided = _corner_winners(padded)
    y, x = np.nonzero(~decided & (rows.count > 0)[:, None] & (columns.count > 0))
    pixels = int(rows.count.max() * columns.count.max())
    if 2 * len(y) * pixels * CELL_COST > budget:  # two contenders per cell, at least
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
    it is largest at all four corners, beyond any rounding, bool ``[h - 1, w - 1]``.
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
        count: number of classes that can win somewhere in the cell, ``[K]``, descending.
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
    """Drop from each cell the classes that stay below the lowest corner of another class."""
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
    undecided, bool.
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
        count: number of contending classes, ``[P]``.
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
        """Concatenate the pixels of several parts."""
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
    wide = _interpolate(torch.from_numpy(lines), (1, size[1])).numpy().reshape(k, 2, p, size[1])
    column = np.zeros((k, p, height), np.float32)
    for end, row in enumerate(ends):
        column[:, at, row] = wide[:, end, at, ties.x]
    tall = (
        _interpolate(torch.from_numpy(column.reshape(k * p, 1, height, 1)), (size[0], 1))
        .numpy()
        .reshape(k, p, size[0])
    )
    value = tall[:, at, ties.y]
    value[np.arange(k)[:, None] >= ties.count] = -np.inf
    found: Labels = ties.classes[value.argmax(axis=0), at].astype(np.uint8)
    return found
