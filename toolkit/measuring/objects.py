"""Measures the objects of an image, by the definitions of scikit-image's ``regionprops``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.runtime.extras import import_skimage
from toolkit.types import Instances
from toolkit.types.run_lengths import decode_counts

SHAPE = (
    *("area", "perimeter", "length", "width", "equivalent_diameter", "orientation", "solidity"),
    *("parts", "holes", "centroid_x", "centroid_y", "touches_edge"),
)
"""The columns of a mask, in the order of the table."""

COLORS = ("mean_red", "mean_green", "mean_blue", "std_red", "std_green", "std_blue")

POWERS = {"area": 2, "perimeter": 1, "length": 1, "width": 1, "equivalent_diameter": 1}
"""The columns that are measured in pixels, and in a power of a unit where the size of a pixel is known."""

_PROPERTIES = (
    *("area", "perimeter", "axis_major_length", "axis_minor_length", "equivalent_diameter_area"),
    *("orientation", "area_convex", "euler_number", "centroid"),
)


def measure_masks(instances: Instances, image: Tensor | None = None) -> Iterator[dict[str, float]]:
    """The figures of each object in pixels, one object at a time; only its own box is ever dense.

    ``length`` and ``width`` are the axes of the ellipse with the same second moments, ``orientation`` is the
    angle of the longer one in degrees, counterclockwise from the x axis (-90 to 90). ``parts`` are counted
    with 8 neighbors, ``holes`` with 4. ``centroid_x`` and ``centroid_y`` are positions in the image, whose
    first pixel has its middle at 0.5. ``touches_edge`` is 1 if a pixel lies on the edge of the image. Colors
    are means and standard deviations over the pixels of the object, from 0 to 255.

    Args:
        instances: objects with masks; for those without pixels everything but the area is NaN.
        image: uint8 ``[3, H, W]``, RGB, for the columns ``COLORS``; without it, they are left out.

    Raises:
        UnavailableError: when scikit-image is not installed.
    """
    measure = import_skimage("measuring objects")
    assert instances.masks is not None  # ensured by the caller
    boxes = instances.masks.boxes_xyxy().long().tolist()
    for code, box in zip(instances.masks.counts, boxes, strict=True):
        mask = _cropped(code, instances.size, box)
        figures = dict.fromkeys(SHAPE, float("nan")) | {"area": float(mask.sum())}
        if mask.size:
            figures = _shape(measure, mask, box, instances.size)
        if image is not None:
            figures |= _colors(mask, box, image)
        yield figures


def _shape(measure: Any, mask: NDArray[np.uint8], box: list[int], size: tuple[int, int]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the convex hull of an object in a line, which is handled here
        (region,) = measure.regionprops(mask)
        found = {name: region[name] for name in _PROPERTIES}
    area = float(found["area"])
    parts = int(measure.label(mask, connectivity=2).max())
    x0, y0, x1, y1 = box
    return {
        "area": area,
        "perimeter": float(found["perimeter"]),
        "length": float(found["axis_major_length"]),
        "width": float(found["axis_minor_length"]),
        "equivalent_diameter": float(found["equivalent_diameter_area"]),
        "orientation": _from_x_axis(float(found["orientation"])),
        "solidity": area / float(found["area_convex"]) if found["area_convex"] else float("nan"),
        "parts": parts,
        "holes": parts - int(found["euler_number"]),
        "centroid_x": float(found["centroid"][1]) + x0 + 0.5,
        "centroid_y": float(found["centroid"][0]) + y0 + 0.5,
        "touches_edge": float(x0 == 0 or y0 == 0 or y1 == size[0] or x1 == size[1]),
    }


def _from_x_axis(angle: float) -> float:
    """The angle of an axis in degrees from the x axis, from one in radians from the rows' axis."""
    degrees = float(np.degrees(angle)) + 90
    return degrees - 180 if degrees > 90 else degrees


def _colors(mask: NDArray[np.uint8], box: list[int], image: Tensor) -> dict[str, float]:
    x0, y0, x1, y1 = box
    pixels = image[:, y0:y1, x0:x1].numpy()[:, mask.astype(bool)].astype(np.float64)
    if not pixels.size:
        return dict.fromkeys(COLORS, float("nan"))
    return dict(zip(COLORS, [*pixels.mean(axis=1), *pixels.std(axis=1)], strict=True))


def _cropped(code: bytes, size: tuple[int, int], box: list[int]) -> NDArray[np.uint8]:
    """The mask inside its box, uint8 ``[y1 - y0, x1 - x0]`` of 0 and 1."""
    height = size[0]
    x0, y0, x1, y1 = box
    ends = np.cumsum(decode_counts(code)) - x0 * height  # edges of runs, down the columns of the box
    edges = np.zeros((x1 - x0) * height + 1, np.uint8)
    inside = ends[(ends >= 0) & (ends < len(edges))]
    np.add.at(edges, inside, 1)
    columns = (np.cumsum(edges[:-1], dtype=np.uint8) & 1).reshape(x1 - x0, height)
    return np.ascontiguousarray(columns[:, y0:y1].T)
