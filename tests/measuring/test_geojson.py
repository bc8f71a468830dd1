"""GeoJSON that another program reads back to the same pixels at the same place."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measuring.tiff_cases import DEGREES, UTM_33, write_geotiff
from numpy.typing import NDArray
from scipy import ndimage

from toolkit.data.georeference import Georeference, georeference
from toolkit.measuring.geojson import geojson_of
from toolkit.measuring.tables import class_rows, object_rows
from toolkit.types import VOID, Instances, Masks, Prediction

CLASSES = ("cell", "dust", "glass")
SIZE = (40, 50)


def masks(seed: int = 0, count: int = 4) -> NDArray[np.bool_]:
    """Blobs with holes and parts; some reach the edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((count, *SIZE)), (0, 1.5, 1.5))
    dense: NDArray[np.bool_] = noise > np.quantile(noise, 0.6)
    return dense


def objects(dense: NDArray[np.bool_]) -> Prediction:
    found, count = Masks.from_dense(dense), len(dense)
    labels, scores = torch.arange(count) % 3, torch.linspace(0.5, 1, max(1, count))[:count]
    return Prediction("a/b.tif", SIZE, instances=Instances(SIZE, found.boxes_xyxy(), labels, found, scores))


def document(prediction: Prediction, place: Georeference | None = None) -> dict[str, Any]:
    rows = object_rows(prediction, CLASSES)
    shares = class_rows(prediction, CLASSES, objects=rows)
    found = geojson_of(prediction, rows, shares, CLASSES, place)
    read: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return read


def parts_of(feature: dict[str, Any]) -> list[Any]:
    geometry = feature["geometry"]
    assert geometry["type"] in ("Polygon", "MultiPolygon")
    parts: list[Any] = geometry["coordinates"]
    return [parts] if geometry["type"] == "Polygon" else parts


def area_of(ring: list[list[float]]) -> float:
    """Positive if the ring goes counterclockwise."""
    (x, y), *_ = ring
    return sum((x0 - x) * (y1 - y) - (x1 - x) * (y0 - y) for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def filled(feature: dict[str, Any], size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    """The pixels whose middle lies inside, by the rule of even and odd."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    inside = np.zeros(size, bool)
    for ring in (ring for part in parts_of(feature) for ring in part):
        for (x0, y0), (x1, y1) in pairwise(ring):
            if y0 != y1:
                crosses = (y >= min(y0, y1)) & (y < max(y0, y1))
                inside ^= crosses & (x > x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def in_pixels(found: dict[str, Any], matrix: NDArray[np.float64]) -> dict[str, Any]:
    """The same document with positions on the map as pixels, and how far they were from the grid."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    copy: dict[str, Any] = json.loads(json.dumps(found))
    for feature in copy["features"]:
        for ring in (ring for part in parts_of(feature) for ring in part):
            for point in ring:
                exact = inverse @ [*point, 1]
                assert np.abs(exact[:2] - exact[:2].round()).max() < 1e-6
                point[:] = exact[:2].round().tolist()
    return copy


def test_objects_read_back_to_the_same_pixels() -> None:
    dense = masks()
    found = document(objects(dense))
    assert found["type"] == "FeatureCollection"
    assert (found["name"], found["coordinate_system"]) == ("a/b.tif", "pixels")
    assert "crs" not in found
    for mask, feature in zip(dense, found["features"], strict=True):
        assert np.array_equal(filled(feature), mask)
    kinds = {feature["geometry"]["type"] for feature in found["features"]}
    assert "MultiPolygon" in kinds
    assert any(len(part) > 1 for feature in found["features"] for part in parts_of(feature))


@pytest.mark.parametrize("upside_down", [False, True], ids=["pixels", "map"])
def test_rings_go_as_rfc_7946_demands(upside_down: bool) -> None:
    place = Georeference((1, 0, 0, 0, -1, 0), 32633, "m") if upside_down else None
    for feature in document(objects(masks()), place)["features"]:
        total = 0.0
        for outer, *holes in parts_of(feature):
            for ring in (outer, *holes):
                assert ring[0] == ring[-1]
                assert len(ring) >= 5
            assert area_of(outer) > 0
            assert all(area_of(hole) < 0 for hole in holes)
            total += sum(map(area_of, (outer, *holes)))
        assert total == feature["properties"]["area"]


def test_class_score_and_figures_are_properties() -> None:
    prediction = objects(masks())
    rows = object_rows(prediction, CLASSES)
    for row, feature in zip(rows, document(prediction)["features"], strict=True):
        assert feature["properties"] == row
        assert {"class", "score", "area", "perimeter", "solidity", "object"} <= set(feature["properties"])


@pytest.mark.parametrize(
    "how",
    [
        {"scale": (0.12, 0.12, 0), "tiepoint": (0, 0, 0, 501_234.567, 4_649_876.543, 0)},
        {"scale": (), "tiepoint": (), "matrix": (0.3, 0.4, 0, 5e5, 0.4, -0.3, 0, 4.6e6, *[0] * 7, 1)},
        {"keys": tuple(2 if i == 11 else key for i, key in enumerate(UTM_33))},
    ],
    ids=["north up", "turned", "pixels as points"],
)
def test_a_geotiff_lies_where_its_transform_says(tmp_path: Path, how: dict[str, Any]) -> None:
    place = georeference(write_geotiff(tmp_path / "a.tif", shape=(*SIZE, 3), **how))
    assert place is not None
    assert place.transform is not None
    dense = masks(1)
    found = document(objects(dense), place)
    assert found["crs"] == {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    assert found["coordinate_system"] == "EPSG:32633"
    back = in_pixels(found, np.array(place.transform).reshape(2, 3))
    for mask, feature in zip(dense, back["features"], strict=True):
        assert np.array_equal(filled(feature), mask)


def test_degrees_are_longitude_and_latitude(tmp_path: Path) -> None:
    path = write_geotiff(
        tmp_path / "a.tif", keys=DEGREES, scale=(1e-5, 1e-5, 0), tiepoint=(0, 0, 0, 13.4, 52.5, 0)
    )
    found = document(objects(masks()), georeference(path))
    assert found["crs"]["properties"]["name"] == "urn:ogc:def:crs:OGC:1.3:CRS84"
    x, y = parts_of(found["features"][0])[0][0][0]
    assert 13 < x < 14
    assert 52 < y < 53


def test_without_a_transform_coordinates_are_pixels(tmp_path: Path) -> None:
    place = georeference(write_geotiff(tmp_path / "a.tif", scale=(), tiepoint=()))
    assert document(objects(masks()), place) == document(objects(masks()))


def test_classes_of_a_label_map() -> None:
    label_map = np.zeros(SIZE, np.uint8)
    for number, mask in enumerate(masks(2, 2), start=1):
        label_map[mask] = number
    label_map[:3, :4] = VOID
    found = document(Prediction("m", SIZE, torch.from_numpy(label_map)))
    assert [feature["properties"]["class"] for feature in found["features"]] == list(CLASSES)
    for number, feature in enumerate(found["features"]):
        assert np.array_equal(filled(feature), label_map == number)
        assert feature["properties"]["area"] == (label_map == number).sum()


def test_objects_and_a_label_map_together() -> None:
    prediction = objects(masks())
    both = Prediction("m", SIZE, torch.zeros(SIZE, dtype=torch.uint8), prediction.instances)
    properties = [feature["properties"] for feature in document(both)["features"]]
    assert ["score" in each for each in properties] == [True] * 4 + [False]
    assert properties[-1]["share"] == 1


def test_boxes_and_objects_without_pixels() -> None:
    boxes = Instances(SIZE, torch.tensor([[1.5, 2, 4, 6]]), torch.tensor([0]))
    (feature,) = document(Prediction("b", SIZE, instances=boxes))["features"]
    assert feature["geometry"]["coordinates"] == [[[1.5, 2], [4, 2], [4, 6], [1.5, 6], [1.5, 2]]]
    (empty,) = document(objects(np.zeros((1, *SIZE), bool)))["features"]
    assert empty["geometry"] is None
    assert empty["properties"]["perimeter"] is None
    assert document(objects(np.zeros((0, *SIZE), bool)))["features"] == []
