"""Measures the objects of an image."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from toolkit.measuring.masks import Box, cropped_masks
from toolkit.measuring.pixel_size import PixelSize
from toolkit.measuring.shapes import Mask, Moments, convex_area, parts_and_holes, perimeter
from toolkit.types import Instances

SHAPE = (
    *("area", "perimeter", "length", "width", "equivalent_diameter", "orientation", "solidity"),
    *("parts", "holes", "centroid_x", "centroid_y", "touches_edge"),
)
"""The columns of a mask, in the order of the table."""

COLORS = ("mean_red", "mean_green", "mean_blue", "std_red", "std_green", "std_blue")

POWERS = {"area": 2, "perimeter": 1, "length": 1, "width": 1, "equivalent_diameter": 1}
"""The columns that are measured in pixels, and in a power of a unit where the size of a pixel is known."""


def in_unit(name: str, unit: str) -> str:
    """The name of a column in a unit: ``area_mm2``."""
    return f"{name}_{unit}{POWERS[name] if POWERS[name] > 1 else ''}"


def measure_masks(
    instances: Instances, image: Tensor | None = None, pixel_size: PixelSize | None = None
) -> Iterator[dict[str, float]]:
    """The figures of each object, one object at a time; only its own box is ever dense.

    ``length`` and ``width`` are the axes of the ellipse with the same second moments, ``orientation`` is the
    angle of the longer one in degrees, counterclockwise from the x axis (-90 to 90; NaN where both axes are
    the same). ``parts`` are counted with 8 neighbors, ``holes`` with 4. ``centroid_x`` and ``centroid_y`` are
    positions in the image, whose first pixel has its middle at 0.5. ``touches_edge`` is 1 if a pixel lies on
    the edge of the image. Colors are means and standard deviations over the pixels of the object, from 0 to
    255.

    Args:
        instances: objects with masks; for those without pixels everything but the area is NaN.
        image: uint8 ``[3, H, W]``, RGB, for the columns ``COLORS``; without it, they are left out.
        pixel_size: for further columns, ``POWERS`` in its unit; without it, they are left out. The perimeter
            is NaN if pixels are not square, since it is estimated for square ones.
    """
    assert instances.masks is not None  # ensured by the caller
    for mask, box in cropped_masks(instances.masks):
        figures = _shape(mask, box, instances.size, pixel_size)
        if image is not None:
            figures |= _colors(mask, box, image)
        yield figures


def _shape(mask: Mask, box: Box, size: tuple[int, int], pixel_size: PixelSize | None) -> dict[str, float]:
    names = [in_unit(name, pixel_size.unit) for name in POWERS] if pixel_size is not None else []
    if not mask.any():
        zero = {name: 0.0 for name in ("area", *names[:1])}
        return dict.fromkeys((*SHAPE, *names), math.nan) | zero
    moments = Moments.of(mask)
    length, width = moments.axes()
    parts, holes = parts_and_holes(mask)
    x0, y0, x1, y1 = box
    figures = {
        "area": float(moments.area),
        "perimeter": perimeter(mask),
        "length": length,
        "width": width,
        "equivalent_diameter": _diameter(moments.area),
        "orientation": moments.angle(),
        "solidity": moments.area / convex_area(mask),
        "parts": parts,
        "holes": holes,
        "centroid_x": moments.x + x0 + 0.5,
        "centroid_y": moments.y + y0 + 0.5,
        "touches_edge": float(x0 == 0 or y0 == 0 or y1 == size[0] or x1 == size[1]),
    }
    return figures | ({} if pixel_size is None else _scaled(figures, moments, pixel_size))


def _scaled(figures: dict[str, float], moments: Moments, size: PixelSize) -> dict[str, float]:
    """The figures that have a unit, in that of a pixel's size."""
    area = figures["area"] * size.area
    around = figures["perimeter"] * size.width if size.is_square else math.nan
    values = (area, around, *moments.axes(size.width, size.height), _diameter(area))
    return {in_unit(name, size.unit): value for name, value in zip(POWERS, values, strict=True)}


def _diameter(area: float) -> float:
    return math.sqrt(4 * area / math.pi)


def _colors(mask: Mask, box: Box, image: Tensor) -> dict[str, float]:
    x0, y0, x1, y1 = box
    pixels = image[:, y0:y1, x0:x1].numpy()[:, mask.astype(bool)].astype(np.float64)
    if not pixels.size:
        return dict.fromkeys(COLORS, float("nan"))
    return dict(zip(COLORS, [*pixels.mean(axis=1), *pixels.std(axis=1)], strict=True))
