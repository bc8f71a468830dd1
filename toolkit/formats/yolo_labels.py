"""YOLO's label files: one text file per image, one object per line.

A line is the class and the points of a polygon, as fractions of the image's width and height:
``0 0.1 0.2 0.5 0.2 0.5 0.7``. Four numbers after the class are a box: the center, width and height. Where
``data.yaml`` has ``kpt_shape``, keypoints follow the box, with or without visibility.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.data.faults import usable
from toolkit.data.notes import note
from toolkit.errors import DataError
from toolkit.formats.bounds import Bounds, Outside
from toolkit.formats.regions import Region, polygon
from toolkit.formats.yolo import YoloSet
from toolkit.reading.files import is_there, read_text
from toolkit.types import Masks, Size

_DIGITS = 6  # of a pixel: dividing by the size and multiplying again changes less than this
_FAR = 0.5
"""How far a value may be outside the image, in widths or heights, before it is assumed to be in pixels."""


def yolo_regions(path: Path, size: Size, yolo: YoloSet, outside: Outside = "error") -> list[Region]:
    """The objects in a label file; none if there is no file.

    In an image that has boxes and polygons, all objects are boxes: a box says nothing about the outline.

    Raises:
        DataError: when a line cannot be used; names file and line.
    """
    lines = read_text(path, "YOLO labels", DataError).splitlines() if is_there(path) else []
    numbered = [(n, line.split()) for n, line in enumerate(lines, start=1) if line.strip()]
    bounds = Bounds(size, outside, hint="correct the lines")
    read = _pose if yolo.keypoints is not None else _segment
    found = usable(numbered, lambda each: read(each[1], bounds, f"{path}, line {each[0]}", yolo))
    return _alike(bounds.finish(list(found)), size)


def _alike(regions: list[Region], size: Size) -> list[Region]:
    """Turn all objects into boxes, unless all of them have masks."""
    outlined = [region for region in regions if region.has_mask]
    if not outlined or len(outlined) == len(regions):
        return regions
    note("outlines of objects are left out, since other objects of the image are boxes", len(outlined))
    return list(usable(regions, lambda region: _as_box(region, size)))


def _as_box(region: Region, size: Size) -> Region:
    if not region.has_mask:
        return region
    x0, y0, x1, y1 = Masks(size, (region.counts(size),)).boxes_xyxy()[0].tolist()
    return replace(region, polygons=(), code=None, box_xyxy=(x0, y0, x1, y1))


def _numbers(words: list[str], where: str, yolo: YoloSet) -> tuple[int, list[float]]:
    """The class and the numbers of a line."""
    try:
        label, values = float(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
        raise DataError(f"{where}: expected numbers, but {error}. Hint: correct it") from error
    count = len(yolo.classes)
    if label not in range(count):
        raise DataError(
            f"{where} has class {words[0]}, but there are only {count} (0…{count - 1}). Hint: correct it"
        )
    return int(label), values


def _require_parts(values: Sequence[float], where: str) -> None:
    outside = next((value for value in values if not -_FAR <= value <= 1 + _FAR), None)
    if outside is not None:
        raise DataError(
            f"{where} has {outside:g}; expected fractions of the width and height, 0…1. Hint: divide by the"
            " size of the image"
        )


def _segment(words: list[str], bounds: Bounds, where: str, yolo: YoloSet) -> Region:
    """A line with a box or a polygon."""
    label, values = _numbers(words, where, yolo)
    _require_parts(values, where)
    if len(values) == 4:
        return _box(label, values, bounds, where)
    flat = polygon(_in_pixels(values, bounds.size), where)
    return Region(label, where, (bounds.look(flat, where),))


def _in_pixels(values: Sequence[float], size: Size) -> list[float]:
    return [round(value * size[1 - index % 2], _DIGITS) for index, value in enumerate(values)]


def _box(label: int, values: Sequence[float], bounds: Bounds, where: str) -> Region:
    (x, y, width, height), (full_h, full_w) = values, bounds.size
    x0, x1 = (x - width / 2) * full_w, (x + width / 2) * full_w
    y0, y1 = (y - height / 2) * full_h, (y + height / 2) * full_h
    box = bounds.look_box((x0, y0, x1, y1), where)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise DataError(
            f"{where}: the box {list(values)} has no area in the image. Hint: remove it, or draw it again"
        )
    return Region(label, where, box_xyxy=box)


def _pose(words: list[str], bounds: Bounds, where: str, yolo: YoloSet) -> Region:
    """A line with a box and keypoints."""
    assert yolo.keypoints is not None  # checked by the caller
    count, each = yolo.keypoints
    label, values = _numbers(words, where, yolo)
    if len(values) not in (4, 4 + count * each):
        raise DataError(
            f"{where} has {len(values)} numbers after the class; expected 4 of the box and {count} x {each}"
            f" of keypoints, since data.yaml has kpt_shape: [{count}, {each}]. Hint: correct the line, or"
            " kpt_shape; remove kpt_shape if the lines contain polygons"
        )
    _require_parts(values[:4], where)
    region = _box(label, values[:4], bounds, where)
    flat: list[float] = []
    for start in range(4, len(values), each):
        flat += _keypoint(values[start : start + each], bounds, where)
    return replace(region, keypoints=tuple(flat) if flat else None)


def _keypoint(values: Sequence[float], bounds: Bounds, where: str) -> tuple[float, float, float]:
    """x and y in pixels and visibility; three zeros for an unmarked keypoint."""
    visibility = values[2] if len(values) == 3 else 2.0
    if visibility not in (0, 1, 2):
        raise DataError(
            f"{where} has {visibility:g} as the visibility of a keypoint; expected 0, 1 or 2. Hint: correct"
            " it"
        )
    # Without visibility, a missing keypoint is written as 0 0, or as negative numbers.
    if visibility == 0 or values[0] < 0 or values[1] < 0 or (values[0], values[1]) == (0, 0):
        return 0.0, 0.0, 0.0
    _require_parts(values[:2], where)
    x, y = bounds.look(_in_pixels(values[:2], bounds.size), where)
    return x, y, visibility
