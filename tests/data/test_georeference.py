"""Positions on a map, against the definition of the tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from measuring.tiff_cases import DEGREES, UTM_33, write_geotiff
from PIL import Image

from toolkit.data.georeference import georeference


def test_scale_and_tiepoint(tmp_path: Path) -> None:
    found = georeference(write_geotiff(tmp_path / "a.tif", tiepoint=(2, 3, 0, 500, 900, 0)))
    assert found is not None
    assert (found.crs, found.unit, found.fault) == ("EPSG:32633", "m", "")
    # the point 2, 3 of the image lies at 500, 900; y goes up on the map
    assert found.on_map(2, 3) == (500, 900)
    assert found.on_map(4, 7) == (501, 899)


def test_a_matrix(tmp_path: Path) -> None:
    matrix = (3, 8, 0, 100, 4, -6, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
    found = georeference(write_geotiff(tmp_path / "a.tif", scale=(), tiepoint=(), matrix=matrix))
    assert found is not None
    assert found.on_map(1, 2) == (3 + 16 + 100, 4 - 12 + 200)


def test_pixels_as_points_have_their_middle_at_the_position(tmp_path: Path) -> None:
    points = tuple(2 if i == 11 else key for i, key in enumerate(UTM_33))
    found = georeference(write_geotiff(tmp_path / "a.tif", keys=points, tiepoint=(0, 0, 0, 500, 900, 0)))
    assert found is not None
    assert found.on_map(0.5, 0.5) == (500, 900)


@pytest.mark.parametrize(
    ("how", "crs", "unit"),
    [
        ({"keys": DEGREES}, "EPSG:4326", "degree"),
        ({"keys": (1, 1, 0, 1, 1024, 0, 1, 1)}, "", ""),
        ({"keys": (1, 1, 0, 1, 3072, 0, 1, 32633)}, "EPSG:32633", "m"),
        ({"keys": (1, 1, 0, 1, 3072, 0, 1, 32767)}, "", ""),
        ({"keys": ()}, "", ""),
        ({"keys": (1, 1, 0, 9, 3072)}, "", ""),
    ],
    ids=["degrees", "no code", "unit of UTM", "user-defined", "no keys", "cut off"],
)
def test_reference_systems(tmp_path: Path, how: dict[str, Any], crs: str, unit: str) -> None:
    found = georeference(write_geotiff(tmp_path / "a.tif", **how))
    assert found is not None
    assert (found.crs, found.unit) == (crs, unit)


def test_without_a_transform_the_reason_is_said(tmp_path: Path) -> None:
    found = georeference(write_geotiff(tmp_path / "a.tif", scale=(), tiepoint=()))
    assert found is not None
    assert (found.transform, found.fault) == (None, "it has no transform")
    turned = georeference(write_geotiff(tmp_path / "b.tif", extra=[(274, "H", 1, 3, True)]))
    assert turned is not None
    assert (turned.transform, turned.fault) == (None, "its pixels are stored turned or mirrored")


def test_other_images_are_on_no_map(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "a.tif")
    assert georeference(tmp_path / "a.tif") is None
