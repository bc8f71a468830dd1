"""Puts the objects of windows together: those that seams cut become one object again, and those that several
windows show are counted once. No mask of the whole image is ever made.

Which objects are the same is said by ``toolkit.models.window_matches``. Of the parts of an object,

- one that no seam cuts is the object, as its window shows it, the one farthest from the seams if there are
  several;
- otherwise they are put together: each pixel is decided by the window whose center is the nearest, since a
  network sees least at the edge of a window (Huang et al., Tiling and Stitching Segmentation Output for
  Remote Sensing, 2018), if that window shows the object at all.

Classes never mix. An object that is put together has the highest score of its parts, and the box around
theirs. SAHI (Akyon et al., ICIP 2022) instead merges any two objects whose overlap, relative to the smaller
one, is large enough; then small objects on large ones disappear, and pieces of objects that are larger than
the overlap of the windows stay pieces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.models.window_grid import Window
from toolkit.models.window_matches import Part, matches
from toolkit.types import Instances, Masks, Size
from toolkit.types.pixel_runs import (
    Rectangle,
    Runs,
    area_of,
    codes_of_runs,
    cropped,
    runs_of_box,
    runs_of_codes,
    united,
    without,
)

_CONTAINED = 0.5
"""A part that no seam cuts stands for all parts if it has at least this fraction of the largest one's area.
"""


def merge_windows(found: Sequence[tuple[Window, Instances]]) -> Instances:
    """The objects of an image from those of its windows.

    Args:
        found: windows that cover the image, with the objects in each, in the window's own pixels.

    Returns:
        The objects in the image's pixels, by descending score if they have scores.

    Raises:
        InvalidDataError: when there is no window, or objects are of another size than their window.
    """
    if not found:
        raise InvalidDataError("there are no windows to merge objects of")
    merger = ObjectMerger(found[0][0].image)
    for window, objects in found:
        merger.add(window, objects)
    return merger.merged()


@dataclass(frozen=True)
class _Row:
    """An object in the tables of the window that shows it."""

    window: int
    index: int


class ObjectMerger:
    """Collects the objects of windows, one window after another, and merges them.

    Args:
        size: height and width of the image, in pixels.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._windows: list[Window] = []
        self._places = np.zeros((0, 4), np.int64)
        self._found: list[Instances] = []
        self._parts: list[list[Part]] = []
        self._first: list[int] = [0]  # the number of the first part of each window
        self._edges: list[tuple[float, int, int]] = []

    def __len__(self) -> int:
        """Number of parts so far."""
        return self._first[-1]

    def add(self, window: Window, objects: Instances) -> None:
        """Take the objects of a window, which are compared with those of the windows before.

        Args:
            window: a window of the image.
            objects: in the pixels of the window.

        Raises:
            InvalidDataError: when they are of another size.
        """
        if objects.size != window.size or window.image != self.size:
            raise InvalidDataError(
                f"objects of {objects.size} in a window of {window.size} of an image of {window.image};"
                f" expected the window's own size, and an image of {self.size} (height, width)"
            )
        number = len(self._windows)
        parts = _parts(number, window, objects)
        near = self._places[:, :2] <= window.place[2:]
        near &= self._places[:, 2:] >= window.place[:2]
        for other in np.flatnonzero(near.all(axis=1)).tolist():
            first, second = self._first[other], self._first[number]
            self._edges += [
                (match.strength, first + match.first, second + match.second)
                for match in matches(self._windows[other], self._parts[other], window, parts)
            ]
        self._windows.append(window)
        self._places = np.concatenate([self._places, [window.place]])
        self._found.append(objects)
        self._parts.append(parts)
        self._first.append(self._first[-1] + len(parts))

    def merged(self) -> Instances:
        """The objects of the image, from all windows so far."""
        rows = [_Row(part.window, i) for parts in self._parts for i, part in enumerate(parts)]
        groups = _groups([self._parts[row.window][row.index] for row in rows], self._edges)
        chosen = [self._object([rows[i] for i in group]) for group in groups]
        return _as_instances(self.size, self._found, chosen)

    def _object(self, rows: list[_Row]) -> _Object:
        parts = [self._parts[row.window][row.index] for row in rows]
        areas = [area_of(part.runs) for part in parts]
        whole = [i for i, part in enumerate(parts) if part.is_whole and areas[i] >= _CONTAINED * max(areas)]
        best = max(whole or range(len(rows)), key=lambda i: (parts[i].depth, areas[i]))
        window, row = self._windows[rows[best].window], rows[best]
        if whole or len(rows) == 1:
            box = self._box(row)
            return _Object(row, parts[best].runs, box, self._score(row), window)
        boxes = torch.stack([self._box(each) for each in rows])
        hull = torch.cat([boxes[:, :2].amin(0), boxes[:, 2:].amax(0)])
        scores = [self._score(each) for each in rows]
        score = None if scores[0] is None else max(score for score in scores if score is not None)
        return _Object(row, self._put_together(parts), hull, score, window)

    def _box(self, row: _Row) -> Tensor:
        """The box of an object, in the image."""
        top, left = self._windows[row.window].place[:2]
        return self._found[row.window].boxes_xyxy[row.index] + torch.tensor([left, top, left, top])

    def _score(self, row: _Row) -> float | None:
        scores = self._found[row.window].scores
        return None if scores is None else float(scores[row.index])

    def _put_together(self, parts: Sequence[Part]) -> Runs:
        windows = {part.window: self._windows[part.window] for part in parts}
        pieces = []
        for part in parts:
            place = windows[part.window].place
            pieces.append(cropped(part.runs, windows[part.window].own))
            rest = part.runs
            for window in windows.values():
                if not window.own.intersection(place).is_empty:
                    rest = without(rest, window.own)
            pieces.append(rest)
        return united(pieces)


@dataclass(frozen=True, eq=False)
class _Object:
    """An object of the image.

    Attributes:
        row: the part whose label and keypoints it has.
        runs: its pixels.
        box: float32 ``[4]``.
        score: None if there are no scores.
        window: of the part.
    """

    row: _Row
    runs: Runs
    box: Tensor
    score: float | None
    window: Window


def _parts(number: int, window: Window, objects: Instances) -> list[Part]:
    labels = objects.labels.tolist()
    top, left = window.place[:2]
    if objects.masks is not None:
        runs = runs_of_codes(objects.masks.counts, window.size, top, left)
    else:
        runs = [runs_of_box(_pixels_of(box, window)) for box in objects.boxes_xyxy.tolist()]
    return [Part.of(number, window, label, each) for label, each in zip(labels, runs, strict=True)]


def _pixels_of(box: Sequence[float], window: Window) -> Rectangle:
    """The pixels of a box, in the image; at least one, and up to the window's edge if that is within half a
    pixel.
    """
    height, width = window.size
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    y, x = window.place[:2]
    return Rectangle(top + y, left + x, bottom + y, right + x)


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    first = min(max(math.floor(low + 0.5), 0), length - 1)
    return first, max(first + 1, min(math.floor(high + 0.5), length))


def _groups(parts: Sequence[Part], edges: Sequence[tuple[float, int, int]]) -> list[list[int]]:
    """Numbers of the parts of each object, in the order of their first parts.

    The surest matches come first. One is refused if it would make one object of two that a window shows, of
    which one is whole: the window says that they are two.
    """
    parent = list(range(len(parts)))
    windows = [{part.window} for part in parts]
    whole = [{part.window} if part.is_whole else set() for part in parts]

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for _, i, j in sorted(edges, key=lambda edge: (-edge[0], edge[1], edge[2])):
        one, other = root(i), root(j)
        if one == other or whole[one] & windows[other] or whole[other] & windows[one]:
            continue
        if len(windows[one]) < len(windows[other]):
            one, other = other, one
        parent[other] = one
        windows[one] |= windows[other]
        whole[one] |= whole[other]
    groups: dict[int, list[int]] = {}
    for i in range(len(parts)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _as_instances(size: Size, found: Sequence[Instances], objects: list[_Object]) -> Instances:
    with_masks = any(each.masks is not None for each in found)
    with_scores = any(each.scores is not None for each in found)
    if not objects:
        return Instances.empty(size, with_masks=with_masks, with_scores=with_scores)
    if with_scores:
        objects = sorted(objects, key=lambda each: -(each.score or 0.0))
    boxes = torch.stack([each.box for each in objects])
    labels = [int(found[each.row.window].labels[each.row.index]) for each in objects]
    codes = codes_of_runs([each.runs for each in objects], size) if with_masks else []
    return Instances(
        size,
        boxes,
        torch.tensor(labels, dtype=torch.int64),
        Masks.encoded(size, codes) if with_masks else None,
        torch.tensor([each.score for each in objects], dtype=torch.float32) if with_scores else None,
        _keypoints(found, objects),
    )


def _keypoints(found: Sequence[Instances], objects: Sequence[_Object]) -> Tensor | None:
    """Those of the part that each object is named after, moved into the image."""
    points = []
    for each in objects:
        given = found[each.row.window].keypoints
        if given is None:
            return None
        top, left = each.window.place[:2]
        points.append(given[each.row.index] + torch.tensor([left, top, 0]))
    return torch.stack(points)
