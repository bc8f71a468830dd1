"""Says which objects of two windows are the same, by what both windows show.

In the strip that two windows share, both see the same pixels. So an object that is in both has the same shape
there, up to the accuracy of the model, wherever it goes on outside:

1. Objects of the same class whose masks have an IoU of at least 0.5 within the strip are the same. Each
   object has one counterpart at most, the best first. (For masks that do not overlap each other, an IoU above
   0.5 has only one: Kirillov et al., Panoptic Segmentation, CVPR 2019.)
2. An object without a counterpart that is cut off at the edge of its window is part of the object in the
   other window that covers most of it: at least half of what the strip has of it, or of the pixels directly
   beyond its cut. So the two prongs of a U become one object with the rest of it, and a margin that was seen
   of an object becomes part of it.

Where windows only touch, nothing is seen twice. Then the pixels on both sides of the seam are compared:
stretches of both objects along the seam with an IoU of at least 0.5, with a tolerance of one pixel at each
end, are the same object. This is the only evidence there is, so two objects of one class that end exactly at
a seam, face to face, become one. Overlapping windows do not have this problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.models.window_grid import Window
from toolkit.types.pixel_runs import (
    Rectangle,
    Runs,
    along_column,
    along_row,
    area_of,
    bounds_of,
    cropped,
    overlap_of,
)

SAME = 0.5
"""The least IoU, within what both windows show, of an object and its counterpart."""

COVERED = 0.5
"""The least fraction of a cut object that the other window's object covers."""

MARGIN = 2
"""An object that ends within this many pixels of a seam may be cut off there: networks are not exact to the
pixel."""

_END = 1  # tolerance of a stretch along a seam, at each of its ends, in pixels


@dataclass(frozen=True, eq=False)
class Part:
    """What a window shows of an object.

    Attributes:
        window: number of the window.
        label: index of its class.
        runs: its pixels, in the image; those of its box if there are only boxes.
        bounds: the rectangle around them.
        depth: distance of the bounds from the nearest seam of the window, in pixels.
    """

    window: int
    label: int
    runs: Runs
    bounds: Rectangle
    depth: int

    @classmethod
    def of(cls, window: int, place: Window, label: int, runs: Runs) -> Part:
        """The part with these pixels, in the window of this number and place."""
        bounds, seams = bounds_of(runs), place.seams()
        depth = min(
            bounds.top - seams.top,
            bounds.left - seams.left,
            seams.bottom - bounds.bottom,
            seams.right - bounds.right,
        )
        return cls(window, label, runs, bounds, depth)

    @property
    def is_whole(self) -> bool:
        """Whether no seam cuts it."""
        return self.depth > MARGIN


class Match(NamedTuple):
    """Two parts of one object.

    Attributes:
        strength: how sure that is: from 1 to 2 for counterparts, below 1 for what covers a cut object.
        first, second: positions of the parts among those of each window.
    """

    strength: float
    first: int
    second: int


def matches(one: Window, parts: Sequence[Part], other: Window, others: Sequence[Part]) -> list[Match]:
    """The parts that are of the same object.

    Args:
        one: a window.
        parts: its objects.
        other: another window of the same image.
        others: the objects of that one.
    """
    strip = one.place.intersection(other.place)
    if strip.height < 0 or strip.width < 0 or not parts or not others:
        return []
    if not strip.is_empty:
        return _in_strip(strip, one, parts, other, others)
    return _across_seam(strip, one, parts, others) if strip.height > 0 or strip.width > 0 else []


def _in_strip(
    strip: Rectangle, one: Window, parts: Sequence[Part], other: Window, others: Sequence[Part]
) -> list[Match]:
    seen = _Cropped(parts, strip), _Cropped(others, strip)
    near = Rectangle(*(edge + (MARGIN if i > 1 else -MARGIN) for i, edge in enumerate(strip)))
    overlaps = {
        (i, j): (
            0
            if parts[i].bounds.intersection(others[j].bounds).is_empty
            else overlap_of(seen[0].runs(i), seen[1].runs(j))
        )
        for i, j in _candidates(parts, others, near)
    }
    ious = {
        (i, j): shared / (seen[0].area(i) + seen[1].area(j) - shared)
        for (i, j), shared in overlaps.items()
        if shared
    }
    found, used = [], (set[int](), set[int]())
    for (i, j), iou in sorted(ious.items(), key=lambda item: -item[1]):
        if iou >= SAME and i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            found.append(Match(1 + iou, i, j))
    swapped = {(j, i): shared for (i, j), shared in overlaps.items()}
    ours, theirs = _shared_seams(one, other), _shared_seams(other, one)
    found += [
        Match(strength, i, j) for strength, i, j in _covered(overlaps, parts, others, seen[0], used[0], ours)
    ]
    found += [
        Match(strength, i, j) for strength, j, i in _covered(swapped, others, parts, seen[1], used[1], theirs)
    ]
    return found


class _Cropped:
    """Parts within a strip, each cropped once."""

    def __init__(self, parts: Sequence[Part], strip: Rectangle) -> None:
        self._parts, self._strip = parts, strip
        self._known: dict[int, tuple[Runs, int]] = {}

    def _get(self, index: int) -> tuple[Runs, int]:
        if index not in self._known:
            part = self._parts[index]
            is_inside = part.bounds.intersection(self._strip) == part.bounds
            runs = part.runs if is_inside else cropped(part.runs, self._strip)
            self._known[index] = runs, area_of(runs)
        return self._known[index]

    def runs(self, index: int) -> Runs:
        """The pixels of a part in the strip."""
        return self._get(index)[0]

    def area(self, index: int) -> int:
        """The number of these."""
        return self._get(index)[1]


def _covered(
    overlaps: dict[tuple[int, int], int],
    parts: Sequence[Part],
    others: Sequence[Part],
    seen: _Cropped,
    used: set[int],
    seams: Rectangle,
) -> Iterator[Match]:
    """Objects without a counterpart that one of the seams cuts, each with what covers it in the other window,
    or goes on from it beyond the seam.
    """
    best: dict[int, tuple[float, int]] = {}
    for (i, j), shared in overlaps.items():
        if i not in used and _is_cut(parts[i].bounds, seams):
            fraction = shared / max(1, seen.area(i))
            if fraction < COVERED:
                fraction = _goes_on(parts[i], others[j], seams)
            if fraction >= COVERED and fraction > best.get(i, (0.0, 0))[0]:
                best[i] = fraction, j
    for i, (fraction, j) in best.items():
        yield Match(fraction / 2, i, j)


def _goes_on(part: Part, other: Part, seams: Rectangle) -> float:
    """The largest fraction of a cut of an object that another object continues on the other side."""
    edges, found = part.bounds, 0.0
    cuts = (
        (edges.top - seams.top, along_row, edges.top, seams.top - 1),
        (edges.left - seams.left, along_column, edges.left, seams.left - 1),
        (seams.bottom - edges.bottom, along_row, edges.bottom - 1, seams.bottom),
        (seams.right - edges.right, along_column, edges.right - 1, seams.right),
    )
    for distance, along, last, beyond in cuts:
        if distance <= MARGIN:
            cut, behind = along(part.runs, last), along(other.runs, beyond)
            low = np.maximum(cut[:, None, 0], behind[None, :, 0])
            high = np.minimum(cut[:, None, 1], behind[None, :, 1])
            shared = float(np.maximum(high - low, 0).sum())
            found = max(found, shared / float(np.diff(cut).sum()))
    return found


def _shared_seams(one: Window, other: Window) -> Rectangle:
    """The edges of a window that lie within another; all others out of reach."""
    far = 1 << 40
    a, b = one.place, other.place
    return Rectangle(
        a.top if b.top < a.top < b.bottom else -far,
        a.left if b.left < a.left < b.right else -far,
        a.bottom if b.top < a.bottom < b.bottom else far,
        a.right if b.left < a.right < b.right else far,
    )


def _is_cut(bounds: Rectangle, seams: Rectangle) -> bool:
    return (
        bounds.top <= seams.top + MARGIN
        or bounds.left <= seams.left + MARGIN
        or bounds.bottom >= seams.bottom - MARGIN
        or bounds.right >= seams.right - MARGIN
    )


def _candidates(parts: Sequence[Part], others: Sequence[Part], strip: Rectangle) -> Iterator[tuple[int, int]]:
    """Pairs of parts of one class whose bounds meet in the strip, or nearly do."""
    one, two = (np.array([part.bounds for part in each], np.int64) for each in (parts, others))
    low = np.maximum(np.maximum(one[:, None, :2], two[None, :, :2]), strip[:2])
    high = np.minimum(np.minimum(one[:, None, 2:], two[None, :, 2:]), strip[2:])
    labels = [np.array([part.label for part in each]) for each in (parts, others)]
    meet = (high - low > -MARGIN).all(axis=2) & (labels[0][:, None] == labels[1])
    for i, j in np.argwhere(meet):
        yield int(i), int(j)


def _across_seam(seam: Rectangle, one: Window, parts: Sequence[Part], others: Sequence[Part]) -> list[Match]:
    """Matches of windows that only touch.

    Args:
        seam: a rectangle without a height or without a width: the line between the windows.
        one: the window of ``parts``.
        parts, others: the objects of both.
    """
    along: Callable[[Runs, int], NDArray[np.int64]]
    if seam.width == 0:
        along, line, is_first = along_column, seam.left, one.place.right == seam.left
    else:
        along, line, is_first = along_row, seam.top, one.place.bottom == seam.top
    here, there = (line - 1, line) if is_first else (line, line - 1)
    stretches = (
        {i: found for i, part in enumerate(parts) if len(found := _on_line(part, along, here, seam))},
        {j: found for j, part in enumerate(others) if len(found := _on_line(part, along, there, seam))},
    )
    pairs = sorted(_facing(stretches, parts, others), reverse=True)
    used, lengths = (set[tuple[int, int]](), set[tuple[int, int]]()), dict[tuple[int, int], list[float]]()
    for iou, i, k, j, m in pairs:
        if (i, k) not in used[0] and (j, m) not in used[1]:
            used[0].add((i, k))
            used[1].add((j, m))
            length = min(float(np.diff(stretches[0][i][k])[0]), float(np.diff(stretches[1][j][m])[0]))
            total = lengths.setdefault((i, j), [0.0, 0.0])
            total[0], total[1] = max(total[0], iou), total[1] + length
    return [
        Match(1 + iou, i, j)
        for (i, j), (iou, length) in lengths.items()
        if length >= COVERED * min(np.diff(stretches[0][i]).sum(), np.diff(stretches[1][j]).sum())
    ]


def _on_line(
    part: Part, along: Callable[[Runs, int], NDArray[np.int64]], line: int, seam: Rectangle
) -> NDArray[np.int64]:
    """The stretches of a part along a line, next to the seam."""
    is_column = along is along_column
    low, high = (part.bounds.left, part.bounds.right) if is_column else (part.bounds.top, part.bounds.bottom)
    if not low <= line < high:
        return np.zeros((0, 2), np.int64)
    first, last = (seam.top, seam.bottom) if is_column else (seam.left, seam.right)
    found = np.clip(along(part.runs, line), first, last)
    return found[found[:, 1] > found[:, 0]]


def _facing(
    stretches: tuple[dict[int, NDArray[np.int64]], dict[int, NDArray[np.int64]]],
    parts: Sequence[Part],
    others: Sequence[Part],
) -> Iterator[tuple[float, int, int, int, int]]:
    """The IoU of each two stretches of objects of one class, with part and number of each."""
    for i, ours in stretches[0].items():
        for j, theirs in stretches[1].items():
            if parts[i].label != others[j].label:
                continue
            low = np.maximum(ours[:, None, 0], theirs[None, :, 0]) - _END
            high = np.minimum(ours[:, None, 1], theirs[None, :, 1]) + _END
            from_, to = (
                np.minimum(ours[:, None, 0], theirs[None, :, 0]),
                np.maximum(ours[:, None, 1], theirs[None, :, 1]),
            )
            ious = (high - low) / (to - from_ + 2 * _END)
            for k, m in np.argwhere(ious >= SAME):
                yield float(ious[k, m]), i, int(k), j, int(m)
