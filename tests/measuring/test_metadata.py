"""Pixel sizes that files state, as tifffile writes them; what is none is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from measuring.tiff_cases import DEGREES, UTM_33, write_geotiff, write_imagej, write_ome
from PIL import Image

from toolkit.measuring.metadata import stated_size
from toolkit.measuring.pixel_size import KnownSize, PixelSize


def size_of(path: Path) -> tuple[float, float, str]:
    known, reason = stated_size(path)
    assert known is not None
    assert not reason
    return known.size.width, known.size.height, known.size.unit


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"PhysicalSizeX": 0.65, "PhysicalSizeY": 0.325}, (0.65, 0.325, "um")),
        ({"PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm"}, (0.65, 0.65, "um")),
        ({"PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "mm"}, (0.65, 0.65, "mm")),
        (
            {**{"PhysicalSizeX": 40, "PhysicalSizeXUnit": "nm"}, "PhysicalSizeY": 0.04},
            (40, 40, "nm"),
        ),
        (
            {
                **{"PhysicalSizeX": 2, "PhysicalSizeXUnit": "mm"},
                **{"PhysicalSizeY": 3, "PhysicalSizeYUnit": "mm"},
            },
            (2, 3, "mm"),
        ),
        (
            {"PhysicalSizeX": 5, "PhysicalSizeXUnit": "Å", "PhysicalSizeY": 5, "PhysicalSizeYUnit": "Å"},
            (0.5, 0.5, "nm"),
        ),
    ],
    ids=["two", "one", "one in millimeters", "nanometers and micrometers", "millimeters", "ångström"],
)
def test_of_ome_tiff(tmp_path: Path, sizes: dict[str, Any], expected: tuple[float, float, str]) -> None:
    path = write_ome(tmp_path / "a.ome.tif", **sizes)
    known, _ = stated_size(path)
    assert known is not None
    assert known.source == "OME-TIFF"
    assert size_of(path) == (pytest.approx(expected[0]), pytest.approx(expected[1]), expected[2])


def test_ome_units_that_are_no_lengths(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", PhysicalSizeX=3, PhysicalSizeXUnit="pixel")
    assert stated_size(path) == (None, "states 3 pixel as its pixel size, which is no length")
    assert stated_size(write_ome(tmp_path / "b.ome.tif")) == (None, "")


@pytest.mark.parametrize(
    ("unit", "expected"), [("um", "um"), ("micron", "um"), ("\\u00B5m", "um"), ("mm", "mm"), ("inch", "in")]
)
def test_of_imagej(tmp_path: Path, unit: str, expected: str) -> None:
    path = write_imagej(tmp_path / "a.tif", per_unit=(4, 8), unit=unit)
    assert stated_size(path) == (KnownSize(PixelSize(0.25, 0.125, expected), "ImageJ"), "")


def test_imagej_without_a_scale(tmp_path: Path) -> None:
    assert stated_size(write_imagej(tmp_path / "a.tif", per_unit=(1, 1), unit="pixel")) == (None, "")


def test_of_geotiff(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif")
    assert stated_size(path) == (KnownSize(PixelSize(0.5, 0.25, "m"), "GeoTIFF"), "")


def test_of_a_turned_geotiff(tmp_path: Path) -> None:
    # 3, 4, 5: columns go 3 east and 4 north, rows 2 x (4, -3)
    matrix = (3, 8, 0, 100, 4, -6, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
    path = write_geotiff(tmp_path / "a.tif", scale=(), tiepoint=(), matrix=matrix)
    assert size_of(path) == (5, 10, "m")
    sheared = (3, 0, 0, 100, 4, -6, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
    path = write_geotiff(tmp_path / "b.tif", scale=(), tiepoint=(), matrix=sheared)
    assert "sheared" in stated_size(path)[1]


@pytest.mark.parametrize(
    ("code", "side", "unit"), [(9001, 1, "m"), (9002, 1, "ft"), (9003, 1.000002, "ft"), (9036, 1, "km")]
)
def test_linear_units(tmp_path: Path, code: int, side: float, unit: str) -> None:
    path = write_geotiff(tmp_path / "a.tif", keys=(*UTM_33[:-1], code), scale=(1, 1, 0))
    assert size_of(path) == (pytest.approx(side, abs=1e-9), pytest.approx(side, abs=1e-9), unit)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"keys": DEGREES}, "in degrees (EPSG:4326), so its pixels have no size in meters"),
        (
            {"keys": (*UTM_33[:-5], 3857, *UTM_33[-4:])},
            "Mercator projection (EPSG:3857), which stretches lengths",
        ),
        (
            {"keys": (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 2263)},
            "does not say in which unit its coordinates are (EPSG:2263)",
        ),
        ({"keys": (*UTM_33[:-1], 9999)}, "does not say in which unit"),
        ({"scale": (), "tiepoint": ()}, "is a GeoTIFF without a pixel size: it has no transform"),
        ({"scale": (), "tiepoint": (0, 0, 0, 1, 2, 0, 9, 9, 0, 3, 4, 0)}, "ground control points"),
        ({"scale": (0, 1, 0)}, "its transform is damaged"),
        ({"scale": (float("nan"), 1, 0)}, "its transform is damaged"),
    ],
    ids=["degrees", "Mercator", "no unit", "unknown unit", "no transform", "control points", "zero", "nan"],
)
def test_maps_that_have_no_lengths(tmp_path: Path, how: dict[str, Any], said: str) -> None:
    known, reason = stated_size(write_geotiff(tmp_path / "a.tif", **how))
    assert known is None
    assert said in reason


def test_dots_per_inch_are_no_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((4, 5), np.uint8), resolution=(72, 72), resolutionunit="INCH"
    )
    Image.new("RGB", (5, 4)).save(tmp_path / "b.jpg", dpi=(300, 300))
    for name in ("a.tif", "b.jpg", "missing.tif"):
        assert stated_size(tmp_path / name) == (None, "")


def test_a_turned_image_has_its_sides_exchanged(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", PhysicalSizeX=2, PhysicalSizeY=3)
    with tifffile.TiffFile(path) as file:
        text = file.ome_metadata
    turned = tmp_path / "b.tif"
    tifffile.imwrite(
        turned,
        np.zeros((4, 5), np.uint8),
        description=text.encode(),
        metadata=None,
        extratags=[(274, "H", 1, 6, True)],
    )
    assert size_of(turned) == (3, 2, "um")


@pytest.mark.parametrize(
    "text",
    [
        "<OME><Image><Pixels PhysicalSizeX='1'",
        "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><OME><Pixels PhysicalSizeX='&a;'/></OME>",
        "<OME><Pixels PhysicalSizeX='nan'/></OME>",
        "<OME><Pixels PhysicalSizeX='-1'/></OME>",
    ],
    ids=["cut off", "entities", "nan", "negative"],
)
def test_hostile_metadata(tmp_path: Path, text: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), description=text, metadata=None)
    assert stated_size(tmp_path / "a.tif")[0] is None
