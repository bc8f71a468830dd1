"""Tags of TIFF files, from files of any kind and state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from toolkit.data.tiff_tags import tiff_tags
from toolkit.errors import ImageError


@pytest.mark.parametrize(("bigtiff", "order"), [(False, "<"), (False, ">"), (True, "<")])
def test_tags_by_number(tmp_path: Path, bigtiff: bool, order: str) -> None:
    path = tmp_path / "a.tif"
    extra = [(33550, "d", 3, (0.5, 0.25, 0.0), True), (65000, "s", 0, "of ours", True)]
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), bigtiff=bigtiff, byteorder=order, extratags=extra)
    tags = tiff_tags(path)
    assert (tags[256], tags[257]) == (5, 4)
    assert tags[33550] == (0.5, 0.25, 0.0)
    assert tags[65000] == "of ours"


def test_other_formats_have_none(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "a.png")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert tiff_tags(tmp_path / "a.png") == {}
    assert tiff_tags(tmp_path / "film.mp4") == {}


def test_damaged_files_have_those_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), description="x" * 100)
    data = path.read_bytes()
    for length in range(1, len(data), 7):
        path.write_bytes(data[:length])
        assert set(tiff_tags(path)) <= set(range(65_536))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        tiff_tags(tmp_path / "a.tif")
