"""Tables of pixel sizes: what is wrong in them is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.measuring.pixel_size import KnownSize, PixelSize
from toolkit.measuring.size_table import SizeTable


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sizes.csv"
    path.write_text(text)
    return path


def test_a_size_for_each_image(tmp_path: Path) -> None:
    path = table(tmp_path, "pixel_size,note,image\n0.5x0.25um,x,a.tif\n\n 2um ,,sub/b.tif\n1um,,c\n")
    assert SizeTable(path).sizes(["sub/b.tif", "a.tif", "c.png"]) == {
        "a.tif": KnownSize(PixelSize(0.5, 0.25, "um"), "sizes.csv"),
        "sub/b.tif": KnownSize(PixelSize.square(2, "um"), "sizes.csv"),
        "c.png": KnownSize(PixelSize.square(1, "um"), "sizes.csv"),
    }


def test_an_image_that_is_missing(tmp_path: Path) -> None:
    sizes = SizeTable(table(tmp_path, "image,pixel_size\na.tif,1um\n"))
    with pytest.raises(
        DataError, match=r"has no pixel size for 2 of 3 images: b.tif, c.tif. Hint: add a line"
    ):
        sizes.sizes(["a.tif", "b.tif", "c.tif"])


def test_a_row_that_two_images_could_mean(tmp_path: Path) -> None:
    sizes = SizeTable(table(tmp_path, "image,pixel_size\na.tif,1um\n"))
    with pytest.raises(
        DataError, match=r"has one pixel size, a.tif, that could belong to both x/a.tif and y/a.tif"
    ):
        sizes.sizes(["x/a.tif", "y/a.tif"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column 'image'; expected a line 'image,pixel_size'"),
        ("image,size\na,1um\n", "has no column 'pixel_size'"),
        ("image,pixel_size\n", "has no rows"),
        ("image,pixel_size\na.tif,1um\nb.tif,2um\na.tif,1um\n", "line 4: 'a.tif' is in line 2, too"),
        ("image,pixel_size\na.tif,0.5\n", r"line 2: the pixel size '0.5' has no unit"),
        ("image,pixel_size\na.tif\n", "line 2: '' is not a pixel size"),
        ("image,pixel_size\n,1um\n", "line 2: it names no image"),
        ("image,pixel_size\na.tif,1um\nb.tif,1mm\n", "has sizes in mm and in um; expected one unit"),
        ("image,pixel_size\na,1\nb,2\n", "has 2 errors"),
    ],
    ids=[
        "empty",
        "no column",
        "no rows",
        "twice",
        "no unit",
        "no size",
        "no image",
        "two units",
        "two errors",
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        SizeTable(table(tmp_path, text))
    assert "Hint: " in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sizes.csv"):
        SizeTable(tmp_path / "sizes.csv")
