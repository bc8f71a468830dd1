"""Which pixel size is used, and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from measuring.tiff_cases import DEGREES, write_geotiff, write_ome

from toolkit.errors import DataError, UsageError
from toolkit.measuring.pixel_size import KnownSize, PixelSize
from toolkit.measuring.sizes import sizes_of


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path | None]:
    """One that states 0.5 µm, one of 0.001 x 0.002 m, and one that states nothing."""
    ome = write_ome(tmp_path / "a.ome.tif", PhysicalSizeX=0.5, PhysicalSizeY=0.5)
    on_map = write_geotiff(tmp_path / "b.tif", scale=(0.001, 0.002, 0))
    return {"a": ome, "b": on_map, "c": None}


def test_what_the_files_state_in_one_unit(images: dict[str, Path | None]) -> None:
    sizes = sizes_of(images, None)
    assert sizes.unit == "um"
    assert sizes.of("a") == KnownSize(PixelSize.square(0.5, "um"), "OME-TIFF")
    known = sizes.of("b")
    assert known is not None
    assert (known.size.width, known.size.height) == (pytest.approx(1000), pytest.approx(2000))
    assert sizes.of("c") is None
    assert sizes.line() == (
        "pixel sizes: 0.5 um (OME-TIFF, 1 image); 1000 x 2000 um (GeoTIFF, 1 image); not known for 1 image"
    )


def test_an_option_replaces_what_the_files_state(images: dict[str, Path | None]) -> None:
    sizes = sizes_of(images, "2mm")
    assert {sizes.of(name) for name in images} == {KnownSize(PixelSize.square(2, "mm"), "option")}
    assert sizes.line() == "pixel sizes: 2 mm (option)"


def test_a_table_replaces_what_the_files_state(images: dict[str, Path | None], tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("image,pixel_size\na,1mm\nb,2mm\nc,1mm\n")
    sizes = sizes_of(images, str(path))
    assert sizes.line() == "pixel sizes: 2 different ones (sizes.csv)"
    assert sizes_of(images, path).of("b") == KnownSize(PixelSize.square(2, "mm"), "sizes.csv")
    with pytest.raises(DataError, match="has no pixel size for 1 of 4 images: d"):
        sizes_of({**images, "d": None}, str(path))


def test_nothing_is_known(tmp_path: Path) -> None:
    sizes = sizes_of({"c": None}, None)
    assert (sizes.unit, sizes.line(), sizes.notes) == (None, "", ())
    assert sizes_of({}, None).line() == ""


def test_what_is_no_size_is_noted(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", keys=DEGREES)
    (note,) = sizes_of({"a": path}, None).notes
    assert note.startswith(f"{path} has coordinates in degrees")
    assert sizes_of({"a": path}, "1m").notes == ()


def test_a_name_that_is_no_size() -> None:
    with pytest.raises(UsageError, match="is not a pixel size"):
        sizes_of({"a": None}, "sizes")
    with pytest.raises(DataError, match=r"sizes\.csv"):
        sizes_of({"a": None}, "sizes.csv")
