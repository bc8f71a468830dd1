"""The tables of measured predictions: one row per object, per image and class, and per class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from toolkit.measuring.objects import COLORS, POWERS, SHAPE, in_unit, measure_masks
from toolkit.measuring.pixel_size import KnownSize
from toolkit.types import VOID, Prediction

Row = dict[str, Any]


def object_columns(unit: str | None, *, with_colors: bool, with_frames: bool = False) -> list[str]:
    """The columns of the table of objects.

    Args:
        unit: of the pixel sizes; None if none is known.
        with_colors: whether colors are measured.
        with_frames: whether images are frames of a video through which objects were tracked.
    """
    tracked = ["frame", "track"] if with_frames else []
    named = ["image", *tracked, "object", "class", "score", "x0", "y0", "x1", "y1", *SHAPE]
    lengths = [in_unit(name, unit) for name in POWERS] if unit else []
    return [*named, *lengths, *_size_columns(unit), *(COLORS if with_colors else ())]


def class_columns(unit: str | None) -> list[str]:
    """The columns of the table of images and classes."""
    areas = [in_unit("area", unit)] if unit else []
    return ["image", "class", "objects", "area", "share", *areas, *_size_columns(unit)]


def summary_columns(unit: str | None) -> list[str]:
    """The columns of the table of classes."""
    areas = [in_unit("area", unit), f"mean_{in_unit('area', unit)}"] if unit else []
    sizes = _size_columns(unit)
    return ["class", "images", "objects", "area", "share", "mean_area", *areas, *sizes]


def _size_columns(unit: str | None) -> list[str]:
    return [f"pixel_width_{unit}", f"pixel_height_{unit}", "pixel_size_from"] if unit else []


def _size_cells(known: KnownSize | None) -> Row:
    if known is None:
        return {}
    cells = (known.size.width, known.size.height, known.source)
    return dict(zip(_size_columns(known.size.unit), cells, strict=True))


def object_rows(
    prediction: Prediction,
    classes: Sequence[str],
    *,
    image: Tensor | None = None,
    known: KnownSize | None = None,
    frame: int | None = None,
    places: Sequence[int] | None = None,
) -> list[Row]:
    """One row per object. ``object`` is its position among the objects of the image, from 0, or its id.
    Objects without masks have the area of their box and no figures of shape.

    Args:
        prediction: of one image.
        classes: the names that labels stand for.
        image: uint8 ``[3, H, W]``, for the colors.
        known: size of a pixel, for further columns such as ``area_mm2``; otherwise pixels alone.
        places: the positions of the objects, where they are some of those of the image.
        frame: number of the frame, for the columns ``frame`` and ``track``, the id of the object.
    """
    found = prediction.instances
    if found is None:
        return []
    scores = [None] * len(found) if found.scores is None else found.scores.tolist()
    boxes = found.boxes_xyxy.double()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).tolist()
    size = None if known is None else known.size
    figures: Iterable[dict[str, float]] = ({"area": area} | _area_in_unit(area, known) for area in areas)
    if found.masks is not None:
        figures = measure_masks(found, image, size)
    rows = []
    for i, each in enumerate(figures):
        box = dict(zip(("x0", "y0", "x1", "y1"), boxes[i].tolist(), strict=True))
        name = _name(classes, int(found.labels[i]))
        own = found.ids[i] if found.ids else i if places is None else places[i]
        tracked = {} if frame is None else {"frame": frame, "track": own}
        row: Row = {"image": prediction.sample_id, **tracked, "object": own, "class": name}
        rows.append(row | {"score": scores[i]} | box | each | _size_cells(known))
    return rows


def class_rows(
    prediction: Prediction,
    classes: Sequence[str],
    *,
    objects: Sequence[Row],
    known: KnownSize | None = None,
) -> list[Row]:
    """One row per class that occurs in an image: the number of objects (none for label maps), the area in
    pixels and its share of the image, from 0 to 1. Where objects overlap, their pixels count for each.
    Objects without pixels, such as tracked ones that are out of sight, do not count.

    Args:
        prediction: of one image.
        classes: the names that labels stand for.
        objects: its rows of ``object_rows``.
        known: as there.
    """
    pixels = prediction.size[0] * prediction.size[1]
    areas: dict[str, list[float]] = {}
    for row in (row for row in objects if row["area"]):
        areas.setdefault(row["class"], []).append(float(row["area"]))
    found: list[tuple[str, int | None, float]] = [(name, len(of), sum(of)) for name, of in areas.items()]
    if prediction.label_map is not None:
        counts = np.bincount(prediction.label_map.numpy().ravel(), minlength=VOID + 1).tolist()
        found += [(_name(classes, label), None, n) for label, n in enumerate(counts[:VOID]) if n]
    return [
        {"image": prediction.sample_id, "class": name, "objects": count, "area": area, "share": area / pixels}
        | _area_in_unit(area, known)
        | _size_cells(known)
        for name, count, area in found
    ]


@dataclass
class _Total:
    """The sums of one class.

    Attributes:
        images: that have it.
        objects: their number; None for label maps.
        area: in pixels.
        in_unit: area in the unit; NaN when an image's pixel size is not known.
        sizes: the sizes of pixels, and where they come from.
    """

    images: int = 0
    objects: int | None = None
    area: float = 0.0
    in_unit: float = 0.0
    sizes: dict[KnownSize | None, None] = field(default_factory=dict)

    def add(self, row: Row, known: KnownSize | None) -> None:
        self.images += 1
        if row["objects"] is not None:
            self.objects = (self.objects or 0) + row["objects"]
        self.area += row["area"]
        self.in_unit += math.nan if known is None else row["area"] * known.size.area
        self.sizes[known] = None

    def size_cells(self) -> Row:
        """The size of a pixel if it is the same everywhere, and where it comes from."""
        known = [size for size in self.sizes if size is not None]
        if not known:
            return {}
        cells = _size_cells(known[0])
        if len({None if each is None else each.size for each in self.sizes}) > 1:
            cells = dict.fromkeys(cells)
        return cells | {"pixel_size_from": "; ".join(dict.fromkeys(each.source for each in known))}


@dataclass
class ClassTotals:
    """Sums over all images, by class.

    Attributes:
        images: number of images measured.
        pixels: of all of them together.
    """

    images: int = 0
    pixels: int = 0
    _classes: dict[str, _Total] = field(default_factory=dict)

    def add(self, prediction: Prediction, rows: Sequence[Row], known: KnownSize | None = None) -> None:
        """Add an image's rows of ``class_rows``. A class that has objects in it counts by these, and not once
        more by its pixels in a label map.
        """
        self.images += 1
        self.pixels += prediction.size[0] * prediction.size[1]
        with_objects = {row["class"] for row in rows if row["objects"] is not None}
        for row in rows:
            if row["objects"] is None and row["class"] in with_objects:
                continue
            self._classes.setdefault(row["class"], _Total()).add(row, known)

    def rows(self, unit: str | None = None) -> Iterator[Row]:
        """One row per class: in how many images it occurs, how many objects, their area in pixels, its share
        of all images, and the mean area of an object. Areas in the unit are NaN if the pixel size of an image
        that has the class is not known.
        """
        for name, total in self._classes.items():
            row: Row = {"class": name, "images": total.images, "objects": total.objects, "area": total.area}
            row |= {"share": total.area / self.pixels, "mean_area": _ratio(total.area, total.objects)}
            if unit:
                row[in_unit("area", unit)] = total.in_unit
                row[f"mean_{in_unit('area', unit)}"] = _ratio(total.in_unit, total.objects)
                row |= dict.fromkeys(_size_columns(unit)) | total.size_cells()
            yield row


def _ratio(total: float, count: int | None) -> float | None:
    return total / count if count else None


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)


def _area_in_unit(area: float, known: KnownSize | None) -> Row:
    return {} if known is None else {in_unit("area", known.size.unit): area * known.size.area}
