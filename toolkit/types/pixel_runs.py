"""Masks as runs of pixels in the columns of an image: cut, moved and joined without ever being dense.

Runs are an int32 array ``[N, 3]`` of ``column, start, stop``: the pixels of a column from row ``start`` up to
but not including ``stop``. They are sorted, neither empty nor touching within a column, and may lie in an
image of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.types.basics import Size
from toolkit.types.run_lengths import decode_all, encode_all, positions_in

Runs: TypeAlias = NDArray[np.int32]
_NONE = np.zeros((0, 3), np.int32)


class Rectangle(NamedTuple):
    """Pixels from ``top, left`` up to but not including ``bottom, right``."""

    top: int
    left: int
    bottom: int
    right: int

    def intersection(self, other: Rectangle) -> Rectangle:
        """The pixels in both; its bottom is above its top, or its right left of its left, if there are
        none and the two do not even touch.
        """
        return Rectangle(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    @property
    def height(self) -> int:
        """Number of rows; 0 or less where there are none."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns; 0 or less where there are none."""
        return self.right - self.left

    @property
    def is_empty(self) -> bool:
        """Whether it has no pixels."""
        return self.height <= 0 or self.width <= 0


def runs_of_code(code: bytes, size: Size, top: int = 0, left: int = 0) -> Runs:
    """The runs of compressed run lengths of an image of ``size``, moved down by ``top`` and right by
    ``left``.
    """
    (runs,) = runs_of_codes([code], size, top, left)
    return runs


def runs_of_codes(codes: Sequence[bytes], size: Size, top: int = 0, left: int = 0) -> list[Runs]:
    """The runs of many masks at once, as ``runs_of_code`` gives them."""
    height = size[0]
    lengths, counts = decode_all(codes)
    owner, position = np.repeat(np.arange(len(codes)), counts), positions_in(counts)
    ends = np.cumsum(lengths)
    ends -= np.repeat(np.concatenate([[0], ends])[np.cumsum(counts) - counts], counts)
    inside = np.flatnonzero((position % 2 == 1) & (lengths > 0))  # every second run is one of the object
    starts, stops, owner = ends[inside - 1], ends[inside], owner[inside]
    first = starts // height
    columns = (stops - 1) // height - first + 1  # that a run goes through
    which = np.repeat(np.arange(len(starts)), columns)
    column = first[which] + positions_in(columns)
    start = np.maximum(starts[which] - column * height, 0)
    stop = np.minimum(stops[which] - column * height, height)
    runs = np.stack([column + left, start + top, stop + top], axis=1).astype(np.int32)
    bounds = np.searchsorted(owner[which], np.arange(len(codes) + 1)).tolist()
    return [runs[low:high] for low, high in pairwise(bounds)]


def code_of_runs(runs: Runs, size: Size) -> bytes:
    """Compressed run lengths of runs that lie within an image of ``size``."""
    (code,) = codes_of_runs([runs], size)
    return code


def codes_of_runs(many: Sequence[Runs], size: Size) -> list[bytes]:
    """The compressed run lengths of many masks at once, as ``code_of_runs`` gives them."""
    pixels, count = size[0] * size[1], len(many)
    runs = np.concatenate([_NONE, *many])
    owner = np.repeat(np.arange(count), [len(each) for each in many])
    starts, stops = _flat(runs, size[0])
    # Masks one after another, as in one column; a run that reaches the bottom of a column goes on at the top
    # of the next.
    starts, stops = starts + owner * pixels, stops + owner * pixels
    follows = np.zeros(len(runs) + 1, bool)
    follows[1:-1] = (starts[1:] == stops[:-1]) & (owner[1:] == owner[:-1])
    begins, finishes = np.flatnonzero(~follows[:-1]), np.flatnonzero(~follows[1:])
    edges = np.stack([starts[begins], stops[finishes]], axis=1).reshape(-1)
    each = np.bincount(owner[begins], minlength=count) * 2
    # The first run is background, and so is the last one, unless it is empty.
    bounds = np.arange(count, dtype=np.int64) * pixels
    ends = np.cumsum(each)
    lasts = np.concatenate([[-1], edges])[np.where(each > 0, ends, 0)]
    is_full = (each > 0) & (lasts == bounds + pixels)
    places = np.concatenate([ends - each, ends])
    values = np.concatenate([bounds, bounds + pixels])
    kept = np.concatenate([np.ones(count, bool), ~is_full])
    order = np.argsort(np.concatenate([2 * np.arange(count), 2 * np.arange(count) + 1])[kept], kind="stable")
    whole = np.insert(edges, places[kept][order], values[kept][order])
    numbers = each + 2 - is_full
    lengths = np.diff(whole)
    firsts = np.cumsum(numbers)[:-1] - 1  # differences between masks
    return encode_all(np.delete(lengths, firsts), numbers - 1)


def runs_of_box(box: Rectangle) -> Runs:
    """The runs of a filled rectangle."""
    if box.is_empty:
        return _NONE
    columns = np.arange(box.left, box.right)
    return np.stack(
        [columns, np.full_like(columns, box.top), np.full_like(columns, box.bottom)], axis=1
    ).astype(np.int32)


def bounds_of(runs: Runs) -> Rectangle:
    """The smallest rectangle that contains all runs; an empty one if there are none."""
    return Rectangle(*all_bounds([runs])[0].tolist())


def all_bounds(many: Sequence[Runs]) -> NDArray[np.int64]:
    """The rectangles of many masks at once, as ``bounds_of`` gives them: top, left, bottom and right, int64
    ``[N, 4]``.
    """
    runs, numbers = np.concatenate([_NONE, *many]), np.array([len(each) for each in many], np.int64)
    bounds, some, stops = np.zeros((len(many), 4), np.int64), numbers > 0, np.cumsum(numbers)
    if some.any():
        first, last = (stops - numbers)[some], stops[some] - 1
        bounds[some, 0] = np.minimum.reduceat(runs[:, 1], first)
        bounds[some, 1] = runs[first, 0]
        bounds[some, 2] = np.maximum.reduceat(runs[:, 2], first)
        bounds[some, 3] = runs[last, 0] + 1
    return bounds


def area_of(runs: Runs) -> int:
    """Number of pixels."""
    return int(areas_of([runs])[0])


def areas_of(many: Sequence[Runs]) -> NDArray[np.int64]:
    """Numbers of pixels of many masks, int64 ``[N]``."""
    runs = np.concatenate([_NONE, *many])
    return _sums((runs[:, 2] - runs[:, 1]).astype(np.int64), [len(each) for each in many])


def cropped(runs: Runs, box: Rectangle) -> Runs:
    """The pixels inside a rectangle."""
    first, last = np.searchsorted(runs[:, 0], [box.left, box.right])
    inside = runs[first:last].copy()
    # np.clip takes several times as long for short arrays
    np.maximum(inside[:, 1:], box.top, out=inside[:, 1:])
    np.minimum(inside[:, 1:], max(box.top, box.bottom), out=inside[:, 1:])
    return inside[inside[:, 2] > inside[:, 1]]


def cropped_all(many: Sequence[Runs], boxes: Sequence[Rectangle]) -> list[Runs]:
    """The pixels of many masks inside a rectangle for each, as ``cropped`` gives them."""
    if not many:
        return []
    runs, numbers = np.concatenate(many), [len(each) for each in many]
    top, left, bottom, right = np.repeat(np.array(boxes, np.int32), numbers, axis=0).T
    starts, stops = np.maximum(runs[:, 1], top), np.minimum(runs[:, 2], bottom)
    kept = (runs[:, 0] >= left) & (runs[:, 0] < right) & (starts < stops)
    inside = np.stack([runs[:, 0], starts, stops], axis=1)[kept]
    bounds = [0, *np.cumsum(_sums(kept, numbers)).tolist()]
    return [inside[low:high] for low, high in pairwise(bounds)]


def without(runs: Runs, box: Rectangle) -> Runs:
    """The pixels outside a rectangle."""
    if box.is_empty or not len(runs):
        return runs
    first, last = np.searchsorted(runs[:, 0], [box.left, box.right])
    within = runs[first:last]
    above, below = within.copy(), within.copy()
    above[:, 2] = np.minimum(above[:, 2], box.top)
    below[:, 1] = np.maximum(below[:, 1], box.bottom)
    left = np.concatenate([above, below])
    left = left[left[:, 2] > left[:, 1]]
    return np.concatenate([runs[:first], left[np.lexsort((left[:, 1], left[:, 0]))], runs[last:]])


def dense_in(runs: Runs, box: Rectangle) -> NDArray[np.uint8]:
    """The part of a mask in a rectangle that contains all of it, 0 or 1, ``[h, w]``."""
    steps = np.zeros((box.height + 1, box.width), np.int8)
    column = runs[:, 0] - box.left
    steps[runs[:, 1] - box.top, column] = 1
    steps[runs[:, 2] - box.top, column] = -1  # no run begins where another of its column ends
    return np.cumsum(steps[:-1], axis=0, dtype=np.int8).view(np.uint8)


def overlap_of(first: Runs, second: Runs) -> int:
    """Number of pixels that two masks share."""
    return int(overlaps_of([first], [second])[0])


def overlaps_of(firsts: Sequence[Runs], seconds: Sequence[Runs]) -> NDArray[np.int64]:
    """Numbers of pixels that each mask shares with the one at the same place of the other list, int64
    ``[N]``.
    """
    numbers = [[len(each) for each in side] for side in (firsts, seconds)]
    one, two = np.concatenate([_NONE, *firsts]), np.concatenate([_NONE, *seconds])
    if not len(one) or not len(two):
        return np.zeros(len(firsts), np.int64)
    width, height = (int(max(one[:, i].max(), two[:, i].max())) + 1 for i in (0, 2))
    # All pairs in one image, one beside another.
    pairs = np.arange(len(firsts)) * (width * height)
    moves = [np.repeat(pairs, number) for number in numbers]
    edges = np.concatenate([each + moves[0] for each in _flat(one, height)])
    lows, highs = (each + moves[1] for each in _flat(two, height))
    covered = np.concatenate([[0], np.cumsum(highs - lows)])
    # The pixels of the second masks before each edge of the first ones.
    index = np.searchsorted(highs, edges)
    partly = edges - np.append(lows, edges[-1])[index]
    before = covered[index] + np.maximum(partly, 0)
    return _sums(before[len(one) :] - before[: len(one)], numbers[0])


def united(parts: list[Runs]) -> Runs:
    """The pixels that are in any of the masks."""
    every = np.concatenate([_NONE, *parts])
    if len(parts) < 2 or not len(every):
        return every
    height = int(every[:, 2].max()) + 1  # so that no run touches one in the next column
    starts, stops = _flat(every, height)
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(stops[order])
    begins = np.concatenate([[True], starts[1:] > reach[:-1]])
    first = np.flatnonzero(begins)
    start, stop = starts[first], reach[np.concatenate([first[1:] - 1, [len(starts) - 1]])]
    column = start // height
    return np.stack([column, start - column * height, stop - column * height], axis=1).astype(np.int32)


def shrunk(runs: Runs, step: int, size: Size) -> Runs:
    """The runs in an image that is made smaller by a whole number: each of its pixels is that in the middle
    of a block of ``step x step``, or the last one of the image.

    Args:
        runs: in the whole image.
        step: side of the blocks, in pixels.
        size: height and width of the whole image.
    """
    places = np.minimum(np.arange(0, size[1], step) + step // 2, size[1] - 1)
    index = np.minimum(np.searchsorted(places, runs[:, 0]), len(places) - 1)
    kept = places[index] == runs[:, 0]
    rows = np.minimum(np.arange(0, size[0], step) + step // 2, size[0] - 1)
    starts, stops = (np.searchsorted(rows, runs[kept, i]) for i in (1, 2))
    small = np.stack([index[kept], starts, stops], axis=1).astype(np.int32)
    return united([small[stops > starts], _NONE])


def along_column(runs: Runs, column: int) -> NDArray[np.int64]:
    """The stretches of rows that a mask covers in a column, int64 ``[K, 2]``."""
    first, last = np.searchsorted(runs[:, 0], [column, column + 1])
    stretches: NDArray[np.int64] = runs[first:last, 1:].astype(np.int64)
    return stretches


def along_row(runs: Runs, row: int) -> NDArray[np.int64]:
    """The stretches of columns that a mask covers in a row, int64 ``[K, 2]``."""
    columns = runs[(runs[:, 1] <= row) & (row < runs[:, 2]), 0].astype(np.int64)
    if not len(columns):
        return np.zeros((0, 2), np.int64)
    breaks = np.flatnonzero(np.diff(columns) > 1)
    starts = columns[np.concatenate([[0], breaks + 1])]
    stops = columns[np.concatenate([breaks, [len(columns) - 1]])] + 1
    return np.stack([starts, stops], axis=1)


def _flat(runs: Runs, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and stops as positions down the columns of an image of this height."""
    offset = runs[:, 0].astype(np.int64) * height
    return offset + runs[:, 1], offset + runs[:, 2]


def _sums(values: NDArray[Any], counts: Sequence[int]) -> NDArray[np.int64]:
    """Sums of as many values as each count says, one after another, int64 ``[N]``."""
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum([0, *counts])
    found: NDArray[np.int64] = sums[ends[1:]] - sums[ends[:-1]]
    return found
