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

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.models.window_grid import Window
from toolkit.models.window_parts import MARGIN, Part, Shown
from toolkit.types.pixel_runs import (
    Rectangle,
    Runs,
    along_column,
    along_row,
    areas_of,
    cropped_all,
    overlaps_of,
)
from toolkit.types.run_lengths import positions_in

SAME = 0.5
"""The least IoU, within what both windows show, of an object and its counterpart."""

COVERED = 0.5
"""The least fraction of a cut object that the other window's object covers."""

_END = 1  # tolerance of a stretch along a seam, at each of its ends, in pixels


class Match(NamedTuple):
    """Two parts of one object.

    Attributes:
        strength: how sure that is: from 1 to 2 for counterparts, below 1 for what covers a cut object.
        first, second: positions of the parts among those of each window.
    """

    strength: float
    first: int
    second: int


def matches(others: Sequence[Shown], one: Shown) -> list[list[Match]]:
    """The parts that are of the same object: of one window, and of each of some others of the same image.

    Args:
        others: windows, each with its objects; the first parts of the matches.
        one: the window that is compared with all of them; the second parts.

    Returns:
        Matches for each of ``others``.
    """
    places = [other.window.place.intersection(one.window.place) for other in others]
    strips = {k: place for k, place in enumerate(places) if not place.is_empty and others[k].parts}
    found = _in_strips(strips, others, one) if strips and one.parts else {}
    for k, place in enumerate(places):
        if place.is_empty and (place.height > 0) != (place.width > 0) and min(place.height, place.width) == 0:
            found[k] = _across_seam(place, others[k].window, others[k].parts, one.parts)
    return [found.get(k, []) for k in range(len(others))]


def _in_strips(
    strips: Mapping[int, Rectangle], others: Sequence[Shown], one: Shown
) -> dict[int, list[Match]]:
    """Matches of windows that overlap; all at once, since each strip has few objects."""
    which, first, second = _candidates(strips, others, one)
    sides = (
        _cropped([shown.parts for shown in others], which, first, strips),
        _cropped([one.parts] * len(others), which, second, strips),
    )
    shared = overlaps_of(*(side.of_pairs for side in sides))
    seen = {k: _Seen({}, ({}, {})) for k in strips}
    for k, i, j, pixels, *areas in np.stack(
        [which, first, second, shared, *(side.areas for side in sides)], axis=1
    ).tolist():
        seen[k].overlaps[i, j] = pixels
        seen[k].areas[0][i], seen[k].areas[1][j] = areas
    return {k: _in_strip(each, others[k], one) for k, each in seen.items()}


class _Cropped(NamedTuple):
    """What strips show of the parts of pairs.

    Attributes:
        of_pairs: the pixels of each.
        areas: their numbers, int64 ``[P]``.
    """

    of_pairs: list[Runs]
    areas: NDArray[np.int64]


def _cropped(
    parts: Sequence[Sequence[Part]],
    which: NDArray[np.int64],
    positions: NDArray[np.int64],
    strips: Mapping[int, Rectangle],
) -> _Cropped:
    """Crop each part once for each strip, though it is in several pairs."""
    once, pairs = np.unique(np.stack([which, positions]), axis=1, return_inverse=True)
    chosen = once.T.tolist()
    runs = cropped_all([parts[k][i].runs for k, i in chosen], [strips[k] for k, _ in chosen])
    pairs = pairs.reshape(-1)
    return _Cropped([runs[pair] for pair in pairs.tolist()], areas_of(runs)[pairs])


class _Seen(NamedTuple):
    """What a strip shows.

    Attributes:
        overlaps: numbers of shared pixels of pairs of parts of both windows.
        areas: the numbers of pixels of the parts of each window.
    """

    overlaps: dict[tuple[int, int], int]
    areas: tuple[dict[int, int], dict[int, int]]


def _in_strip(seen: _Seen, other: Shown, one: Shown) -> list[Match]:
    overlaps, areas = seen
    ious = {
        (i, j): shared / (areas[0][i] + areas[1][j] - shared) for (i, j), shared in overlaps.items() if shared
    }
    found, used = [], (set[int](), set[int]())
    for (i, j), iou in sorted(ious.items(), key=lambda item: -item[1]):
        if iou >= SAME and i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            found.append(Match(1 + iou, i, j))
    swapped = {(j, i): shared for (i, j), shared in overlaps.items()}
    seams = _shared_seams(other.window, one.window), _shared_seams(one.window, other.window)
    parts, others = other.parts, one.parts
    found += [
        Match(strength, i, j)
        for strength, i, j in _covered(overlaps, parts, others, areas[0], used[0], seams[0])
    ]
    found += [
        Match(strength, i, j)
        for strength, j, i in _covered(swapped, others, parts, areas[1], used[1], seams[1])
    ]
    return found


def _covered(
    overlaps: dict[tuple[int, int], int],
    parts: Sequence[Part],
    others: Sequence[Part],
    areas: dict[int, int],
    used: set[int],
    seams: Rectangle,
) -> Iterator[Match]:
    """Objects without a counterpart that one of the seams cuts, each with what covers it in the other window,
    or goes on from it beyond the seam.
    """
    best: dict[int, tuple[float, int]] = {}
    for (i, j), shared in overlaps.items():
        if i not in used and _is_cut(parts[i].bounds, seams):
            fraction = shared / max(1, areas[i])
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


def _candidates(strips: Mapping[int, Rectangle], others: Sequence[Shown], one: Shown) -> NDArray[np.int64]:
    """Pairs of parts of one class whose bounds meet in a strip, or nearly do: the number of the strip and the
    positions of both, ``[3, P]``.
    """
    counts = [len(others[k].parts) for k in strips]
    which, position = np.repeat(list(strips), counts), positions_in(np.array(counts))
    inside = np.array(list(strips.values())) + np.array([-MARGIN, -MARGIN, MARGIN, MARGIN])
    bounds, inside = np.concatenate([others[k].bounds for k in strips]), np.repeat(inside, counts, axis=0)
    low, high = np.maximum(bounds[:, :2], inside[:, :2]), np.minimum(bounds[:, 2:], inside[:, 2:])
    near = np.minimum(high[:, None], one.bounds[:, 2:]) - np.maximum(low[:, None], one.bounds[:, :2])
    labels = np.concatenate([others[k].labels for k in strips])
    row, second = np.nonzero((near > -MARGIN).all(axis=2) & (labels[:, None] == one.labels))
    return np.stack([which[row], position[row], second])


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
