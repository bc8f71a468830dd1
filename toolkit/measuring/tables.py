"""The tables of measured predictions: one row per object, per image and class, and per class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from toolkit.measuring.objects import COLORS, POWERS, SHAPE, measure_masks
from toolkit.measuring.pixel_size import PixelSize
from toolkit.types import VOID, Prediction

Row = dict[str, Any]


def object_columns(pixel_size: PixelSize | None, *, with_colors: bool) -> list[str]:
    """The columns of the table of objects."""
    named = ["image", "object", "class", "score", "x0", "y0", "x1", "y1", *SHAPE]
    return [*named, *_in_unit(pixel_size), *(COLORS if with_colors else ())]


def class_columns(pixel_size: PixelSize | None) -> list[str]:
    """The columns of the table of images and classes."""
    return ["image", "class", "objects", "area", "share", *(_in_unit(pixel_size, "area"))]


def summary_columns(pixel_size: PixelSize | None) -> list[str]:
    """The columns of the table of classes."""
    return ["class", "images", "objects", "area", "share", "mean_area", *_in_unit(pixel_size, "area")]


def object_rows(
    prediction: Prediction,
    classes: Sequence[str],
    *,
    image: Tensor | None = None,
    pixel_size: PixelSize | None = None,
) -> list[Row]:
    """One row per object. ``object`` is its position among the objects of the image, from 0, or its id.
    Objects without masks have the area of their box and no figures of shape.

    Args:
        prediction: of one image.
        classes: the names that labels stand for.
        image: uint8 ``[3, H, W]``, for the colors.
        pixel_size: for further columns such as ``area_mm2``; otherwise pixels alone.

    Raises:
        UnavailableError: when scikit-image is not installed.
    """
    found = prediction.instances
    if found is None:
        return []
    scores = [None] * len(found) if found.scores is None else found.scores.tolist()
    boxes = found.boxes_xyxy.double()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).tolist()
    figures: Iterable[dict[str, float]] = [{"area": area} for area in areas]
    if found.masks is not None:
        figures = measure_masks(found, image)
    rows = []
    for i, each in enumerate(figures):
        box = dict(zip(("x0", "y0", "x1", "y1"), boxes[i].tolist(), strict=True))
        name = _name(classes, int(found.labels[i]))
        known = {"image": prediction.sample_id, "object": found.ids[i] if found.ids else i}
        rows.append(known | {"class": name, "score": scores[i]} | box | each | _scaled(each, pixel_size))
    return rows


def class_rows(
    prediction: Prediction,
    classes: Sequence[str],
    *,
    objects: Sequence[Row],
    pixel_size: PixelSize | None = None,
) -> list[Row]:
    """One row per class that occurs in an image: the number of objects (none for label maps), the area in
    pixels and its share of the image, from 0 to 1. Where objects overlap, their pixels count for each.

    Args:
        prediction: of one image.
        classes: the names that labels stand for.
        objects: its rows of ``object_rows``.
        pixel_size: as there.
    """
    pixels = prediction.size[0] * prediction.size[1]
    areas: dict[str, list[float]] = {}
    for row in objects:
        areas.setdefault(row["class"], []).append(float(row["area"]))
    found: list[tuple[str, int | None, float]] = [(name, len(of), sum(of)) for name, of in areas.items()]
    if prediction.label_map is not None:
        values, counts = np.unique(prediction.label_map.numpy(), return_counts=True)
        pairs = zip(values.tolist(), counts.tolist(), strict=True)
        found += [(_name(classes, label), None, count) for label, count in pairs if label != VOID]
    return [
        {"image": prediction.sample_id, "class": name, "objects": count, "area": area, "share": area / pixels}
        | _scaled({"area": area}, pixel_size)
        for name, count, area in found
    ]


@dataclass
class ClassTotals:
    """Sums over all images, by class.

    Attributes:
        images: number of images measured.
        pixels: of all of them together.
    """

    images: int = 0
    pixels: int = 0
    _classes: dict[str, tuple[int, int | None, float]] = field(default_factory=dict)

    def add(self, prediction: Prediction, rows: Sequence[Row]) -> None:
        """Add an image's rows of ``class_rows``."""
        self.images += 1
        self.pixels += prediction.size[0] * prediction.size[1]
        for row in rows:
            images, objects, area = self._classes.get(row["class"], (0, None, 0.0))
            if row["objects"] is not None:
                objects = (objects or 0) + row["objects"]
            self._classes[row["class"]] = images + 1, objects, area + row["area"]

    def rows(self, pixel_size: PixelSize | None = None) -> Iterator[Row]:
        """One row per class: in how many images it occurs, how many objects, their area in pixels, its share
        of all images, and the mean area of an object.
        """
        for name, (images, objects, area) in self._classes.items():
            row = {"class": name, "images": images, "objects": objects, "area": area}
            row |= {"share": area / self.pixels, "mean_area": area / objects if objects else None}
            yield row | _scaled({"area": area}, pixel_size)


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)


def _in_unit(pixel_size: PixelSize | None, *names: str) -> list[str]:
    """The names of the columns in the unit of a pixel's size."""
    if pixel_size is None:
        return []
    powers = {name: POWERS[name] for name in names or POWERS}
    return [f"{name}_{pixel_size.unit}{power if power > 1 else ''}" for name, power in powers.items()]


def _scaled(figures: dict[str, float], pixel_size: PixelSize | None) -> Row:
    """The figures that have a unit, in that of a pixel's size."""
    if pixel_size is None:
        return {}
    known = {name: power for name, power in POWERS.items() if name in figures}
    names = _in_unit(pixel_size, *known) if known else []
    return {
        column: figures[name] * pixel_size.side**power
        for column, (name, power) in zip(names, known.items(), strict=True)
    }
