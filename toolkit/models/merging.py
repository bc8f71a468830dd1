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
from toolkit.models.window_matches import matches
from toolkit.models.window_parts import Part, Shown, parts_of
from toolkit.types import Instances, Masks, Size
from toolkit.types.pixel_runs import (
    Rectangle,
    Runs,
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


class ObjectMerger:
    """Collects the objects of windows, one window after another, and merges them.

    Args:
        size: height and width of the image, in pixels.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._shown: list[Shown] = []
        self._places = np.zeros((0, 4), np.int64)
        self._found: list[Instances] = []
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
        number = len(self._shown)
        shown = Shown(window, _parts(number, window, objects))
        meet = (self._places[:, :2] <= window.place[2:]) & (self._places[:, 2:] >= window.place[:2])
        near = np.flatnonzero(meet.all(axis=1)).tolist()
        for other, found in zip(near, matches([self._shown[i] for i in near], shown), strict=True):
            first, second = self._first[other], self._first[number]
            self._edges += [(match.strength, first + match.first, second + match.second) for match in found]
        self._shown.append(shown)
        self._places = np.concatenate([self._places, [window.place]])
        self._found.append(objects)
        self._first.append(self._first[-1] + len(shown.parts))

    def merged(self) -> Instances:
        """The objects of the image, from all windows so far."""
        parts = [part for shown in self._shown for part in shown.parts]
        boxes = [
            box
            for shown, each in zip(self._shown, self._found, strict=True)
            for box in _boxes(shown.window, each)
        ]
        scores = [score for each in self._found for score in _scores(each)]
        chosen = []
        for group in _groups(parts, self._edges):
            best, runs = self._chosen([parts[i] for i in group])
            number, is_whole = group[best], runs is parts[group[best]].runs
            box = boxes[number] if is_whole else _hull([boxes[i] for i in group])
            score = (
                scores[number]
                if is_whole
                else max((scores[i] for i in group), key=lambda score: score or 0.0)
            )
            chosen.append(
                _Object(parts[number], number - self._first[parts[number].window], runs, box, score)
            )
        return _as_instances(self.size, self._shown, self._found, chosen)

    def _chosen(self, parts: Sequence[Part]) -> tuple[int, Runs]:
        """Position of the part that an object is named after, and the object's pixels: those of that part, or
        of all put together.
        """
        if len(parts) == 1:
            return 0, parts[0].runs
        least = _CONTAINED * max(part.area for part in parts)
        whole = [i for i, part in enumerate(parts) if part.is_whole and part.area >= least]
        best = max(whole or range(len(parts)), key=lambda i: (parts[i].depth, parts[i].area))
        return best, parts[best].runs if whole else self._put_together(parts)

    def _put_together(self, parts: Sequence[Part]) -> Runs:
        windows = {part.window: self._shown[part.window].window for part in parts}
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
        part: that it is named after, whose label and keypoints it has.
        index: of the part among the objects of its window.
        runs: its pixels.
        box: in the image's pixels.
        score: None if there are no scores.
    """

    part: Part
    index: int
    runs: Runs
    box: list[float]
    score: float | None


def _boxes(window: Window, objects: Instances) -> list[list[float]]:
    """The boxes of a window's objects, in the image."""
    top, left = window.place[:2]
    boxes: list[list[float]] = (objects.boxes_xyxy + torch.tensor([left, top, left, top])).tolist()
    return boxes


def _scores(objects: Instances) -> Sequence[float | None]:
    return [None] * len(objects) if objects.scores is None else objects.scores.tolist()


def _hull(boxes: Sequence[list[float]]) -> list[float]:
    """The box around boxes."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return [min(left), min(top), max(right), max(bottom)]


def _parts(number: int, window: Window, objects: Instances) -> list[Part]:
    top, left = window.place[:2]
    if objects.masks is not None:
        runs = runs_of_codes(objects.masks.counts, window.size, top, left)
    else:
        runs = [runs_of_box(_pixels_of(box, window)) for box in objects.boxes_xyxy.tolist()]
    return parts_of(number, window, objects.labels.tolist(), runs)


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


def _as_instances(
    size: Size, shown: Sequence[Shown], found: Sequence[Instances], objects: list[_Object]
) -> Instances:
    with_masks = any(each.masks is not None for each in found)
    with_scores = any(each.scores is not None for each in found)
    if not objects:
        return Instances.empty(size, with_masks=with_masks, with_scores=with_scores)
    if with_scores:
        objects = sorted(objects, key=lambda each: -(each.score or 0.0))
    codes = codes_of_runs([each.runs for each in objects], size) if with_masks else []
    return Instances(
        size,
        torch.tensor([each.box for each in objects], dtype=torch.float32),
        torch.tensor([each.part.label for each in objects], dtype=torch.int64),
        Masks.encoded(size, codes) if with_masks else None,
        torch.tensor([each.score for each in objects], dtype=torch.float32) if with_scores else None,
        _keypoints(shown, found, objects),
    )


def _keypoints(
    shown: Sequence[Shown], found: Sequence[Instances], objects: Sequence[_Object]
) -> Tensor | None:
    """Those of the part that each object is named after, moved into the image."""
    points = []
    for each in objects:
        given = found[each.part.window].keypoints
        if given is None:
            return None
        top, left = shown[each.part.window].window.place[:2]
        points.append(given[each.index] + torch.tensor([left, top, 0]))
    return torch.stack(points)
