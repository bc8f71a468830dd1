"""Predictions as GeoJSON (RFC 7946), in the pixels of the image, or on the map that it is a part of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.data.georeference import Georeference
from toolkit.measuring.masks import cropped_masks
from toolkit.measuring.polygons import Ring, polygons_of
from toolkit.measuring.tables import Row
from toolkit.types import VOID, Prediction

_WGS84 = 4326


def geojson_of(
    prediction: Prediction,
    objects: Sequence[Row],
    shares: Sequence[Row],
    classes: Sequence[str],
    place: Georeference | None = None,
) -> dict[str, Any]:
    """A feature for each object, and one for each class of a label map; properties are the columns of the
    tables.

    Outer contours go counterclockwise and holes clockwise, as the coordinates say (in pixels, y points down).
    Contours follow the edges of pixels; the corner of the image is 0, 0. Objects without masks are their
    boxes; those without pixels have no geometry.

    Args:
        prediction: of one image.
        objects: its rows of ``object_rows``.
        shares: its rows of ``class_rows``.
        classes: the names that labels stand for.
        place: where the image lies; None, and one without a transform, for coordinates in pixels.
    """
    on_map = place is not None and place.transform is not None
    known = place if on_map else None
    features = [
        _feature(known, polygons, row) for polygons, row in zip(_of_objects(prediction), objects, strict=True)
    ]
    # those of a label map have no number of objects
    rows = {row["class"]: row for row in shares if row["objects"] is None}
    features += [_feature(known, polygons, rows[name]) for name, polygons in _of_classes(prediction, classes)]
    head: dict[str, Any] = {"type": "FeatureCollection", "name": prediction.sample_id}
    if known is not None and known.epsg is not None:
        head["crs"] = {"type": "name", "properties": {"name": _urn(known.epsg)}}
    system = "pixels" if known is None else known.crs or "map coordinates without an EPSG code"
    return {**head, "coordinate_system": system, "features": features}


def _urn(epsg: int) -> str:
    # By its own definition, EPSG:4326 has the latitude first; GeoJSON and CRS84 have the longitude first.
    return "urn:ogc:def:crs:OGC:1.3:CRS84" if epsg == _WGS84 else f"urn:ogc:def:crs:EPSG::{epsg}"


Polygons = list[list[NDArray[np.float64]]]
"""Parts, each with its outer contour and its holes, ``[K, 2]`` in pixels."""


def _of_objects(prediction: Prediction) -> Iterator[Polygons]:
    found = prediction.instances
    if found is None:
        return
    if found.masks is None:
        for x0, y0, x1, y1 in found.boxes_xyxy.tolist():
            yield [[np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])]]
        return
    for mask, box in cropped_masks(found.masks):
        yield _moved(polygons_of(mask), box[0], box[1]) if mask.any() else []


def _of_classes(prediction: Prediction, classes: Sequence[str]) -> Iterator[tuple[str, Polygons]]:
    if prediction.label_map is None:
        return
    values = prediction.label_map.numpy()
    for label in np.flatnonzero(np.bincount(values.ravel(), minlength=VOID)[:VOID]).tolist():
        name = classes[label] if label < len(classes) else str(label)
        yield name, _moved(polygons_of((values == label).astype(np.uint8)), 0, 0)


def _moved(polygons: list[list[Ring]], x: int, y: int) -> Polygons:
    return [[np.array(ring, np.float64) + np.array([x, y]) for ring in part] for part in polygons]


def _feature(place: Georeference | None, polygons: Polygons, row: Row) -> dict[str, Any]:
    parts = [
        [_ring(place, ring, is_outer=number == 0) for number, ring in enumerate(part)] for part in polygons
    ]
    geometry: dict[str, Any] | None = {"type": "MultiPolygon", "coordinates": parts}
    if len(parts) == 1:
        geometry = {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "Feature", "geometry": geometry if parts else None, "properties": _properties(row)}


def _ring(place: Georeference | None, ring: NDArray[np.float64], *, is_outer: bool) -> list[list[float]]:
    """The closed ring of positions, in the direction that RFC 7946 demands."""
    points = [list(place.on_map(x, y)) if place is not None else [x, y] for x, y in ring.tolist()]
    points.append(points[0])
    # around its first corner, since coordinates on a map are large
    (left, low), *_ = points
    twice_the_area = sum(
        (x0 - left) * (y1 - low) - (x1 - left) * (y0 - low) for (x0, y0), (x1, y1) in pairwise(points)
    )
    return points if (twice_the_area > 0) == is_outer else points[::-1]


def _properties(row: Row) -> dict[str, Any]:
    """A row without undefined numbers, which JSON does not have."""
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in row.items()}
