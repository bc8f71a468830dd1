"""Parts of TIFF files: the same pixels as in the whole image, whatever its tiles, strips and compression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from toolkit.data import tiff_windows
from toolkit.data.images import read_image, read_picture
from toolkit.data.tiff_windows import TiffWindows, open_tiff
from toolkit.errors import ImageError
from toolkit.types.pixel_runs import Rectangle

SIZE = (150, 210)
TILES = {"tile": (64, 48), "metadata": None}
RGB = {"photometric": "rgb"}
GRAY = {"photometric": "minisblack"}


def smooth(channels: int = 3, dtype: type = np.uint8) -> np.ndarray[Any, Any]:
    """A picture that JPEG keeps nearly as it is."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    planes = [(rows * (i + 1) + columns * 2) % 256 for i in range(channels)]
    pixels = np.stack(planes, axis=2).astype(dtype)
    if dtype == np.uint16:
        pixels = pixels * 257 - (rows % 7)[..., None].astype(np.uint16) * (pixels > 1)
    return pixels[..., 0] if channels == 1 else pixels


CASES: dict[str, tuple[np.ndarray[Any, Any], dict[str, Any]]] = {
    "tiles": (smooth(), TILES | RGB),
    "deflate": (smooth(), TILES | RGB | {"compression": "zlib", "predictor": True}),
    "lzw": (smooth(), TILES | RGB | {"compression": "lzw"}),
    "packbits": (smooth(), TILES | RGB | {"compression": "packbits"}),
    "jpeg": (smooth(), {"tile": (64, 64), "metadata": None, "compression": "jpeg"} | RGB),
    "bigtiff": (smooth(), TILES | RGB | {"bigtiff": True}),
    "big-endian": (smooth(3, np.uint16), TILES | RGB | {"byteorder": ">"}),
    "strips": (smooth(), {"rowsperstrip": 7, "metadata": None} | RGB),
    "strips-deflate": (smooth(), {"rowsperstrip": 16, "metadata": None, "compression": "zlib"} | RGB),
    "one-strip": (smooth(), {"metadata": None} | RGB),
    "gray": (smooth(1), TILES | GRAY),
    "gray-inverted": (smooth(1), TILES | {"photometric": "miniswhite"}),
    "gray-16": (smooth(1, np.uint16), TILES | GRAY),
    "color-16": (smooth(3, np.uint16), TILES | RGB | {"compression": "zlib"}),
    "alpha": (smooth(4), TILES | RGB | {"extrasamples": ["unassalpha"]}),
    "bands": (smooth(5), TILES | RGB | {"extrasamples": ["unspecified"] * 2}),
    "planes": (smooth().transpose(2, 0, 1), TILES | RGB | {"planarconfig": "separate"}),
    "palette": (
        smooth(1),
        TILES | {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256) * 85},
    ),
    "ome": (smooth(1), {"tile": (64, 48), "ome": True, "metadata": {"axes": "YX"}} | GRAY),
}
PLACES = [
    Rectangle(0, 0, *SIZE),
    Rectangle(0, 0, 1, 1),
    Rectangle(149, 209, 150, 210),
    Rectangle(10, 20, 90, 150),
    Rectangle(64, 48, 128, 96),
    Rectangle(100, 0, 150, 210),
]


def opened(path: Path) -> TiffWindows:
    found = open_tiff(path)
    assert found is not None
    return found


def written(path: Path, name: str) -> Path:
    pixels, options = CASES[name]
    tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("name", CASES)
def test_parts_are_those_of_the_whole_image(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", name)
    whole = read_image(path)
    with opened(path) as reader:
        assert reader.size == SIZE
        for place in PLACES:
            part = reader.read(place)
            assert part.dtype == torch.uint8
            expected = whole[:, place.top : place.bottom, place.left : place.right]
            if name == "jpeg":  # decoders differ by a step or two
                assert int((part.int() - expected.int()).abs().max()) <= 3
            else:
                assert torch.equal(part, expected)
        assert reader.notes() == read_picture(path).notes


def test_compressed_by_another_program(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.tif", compression="tiff_lzw")
    with opened(tmp_path / "a.tif") as reader:
        assert torch.equal(reader.read(PLACES[3]), read_image(tmp_path / "a.tif")[:, 10:90, 20:150])


def test_what_can_only_be_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    others: list[tuple[np.ndarray[Any, Any], dict[str, Any]]] = [
        (smooth(4), {"photometric": "separated"}),
        (smooth(1) > 90, GRAY),
        (smooth(1, np.uint16), {"photometric": "miniswhite"}),
        (smooth(), RGB | {"extratags": [(274, 3, 1, 6, False)]}),
    ]
    for pixels, options in others:
        tifffile.imwrite(path, pixels, metadata=None, **options)
        assert open_tiff(path) is None
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    assert open_tiff(tmp_path / "a.png") is None
    monkeypatch.setattr(tiff_windows, "MOST_SEGMENT_PIXELS", SIZE[0] * SIZE[1] - 1)
    assert open_tiff(written(path, "one-strip")) is None
    assert open_tiff(written(path, "tiles")) is not None


def test_memory_is_that_of_the_cache_and_rows_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.tif", "deflate")
    row = 5 * 64 * 48 * 3
    monkeypatch.setattr(tiff_windows, "CACHE_BYTES", 2 * row)
    with opened(path) as reader:
        numbers, most, decode = [], 0, reader._decoded

        def counting(number: int) -> Any:
            nonlocal most
            numbers.append(number)
            most = max(most, reader._bytes)
            return decode(number)

        monkeypatch.setattr(reader, "_decoded", counting)
        for top in range(0, 121, 29):
            for left in range(0, 170, 20):
                reader.read(Rectangle(top, left, top + 34, left + 40))
        assert sorted(numbers) == list(range(15)), "each tile once, although windows overlap"
        assert most <= 2 * row


@pytest.mark.parametrize("name", ["tiles", "deflate", "strips"])
def test_a_file_that_is_cut_off_is_read_up_to_there(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", name)
    with tifffile.TiffFile(path) as file:
        offsets = file.pages[0].dataoffsets
    data = path.read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: offsets[len(offsets) // 2]])
    whole = read_image(path)
    reader = opened(tmp_path / "cut.tif")
    assert torch.equal(reader.read(Rectangle(0, 0, 5, 210)), whole[:, :5])
    with pytest.raises(ImageError, match=r"cut\.tif: the (tile|strip) at x \d+, y \d+ lies beyond the end"):
        reader.read(Rectangle(0, 0, *SIZE))


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", "deflate")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[7], file.pages[0].databytecounts[7]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    with opened(path) as reader:
        reader.read(Rectangle(0, 0, 64, 210))
        with pytest.raises(ImageError, match=r"the tile at x 96, y 64 cannot be decoded: .*Hint: copy"):
            reader.read(Rectangle(70, 100, 71, 101))


def test_tiles_that_were_not_stored_are_black(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", "tiles")
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = list(file.pages[0].databytecounts)
        counts[0] = 0
        file.pages[0].tags["TileByteCounts"].overwrite(counts)
    with opened(path) as reader:
        assert int(reader.read(Rectangle(0, 0, 64, 48)).max()) == 0
        assert int(reader.read(Rectangle(0, 48, 64, 96)).max()) > 0


def test_more_pixels_than_fit_into_memory_may_be_claimed_but_not_any_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    blank = np.zeros((64, 64), np.uint8)

    def claim(side: int) -> None:
        tiles = (blank for _ in range((-(-side // 64)) ** 2))
        tifffile.imwrite(path, tiles, shape=(side, side), dtype=np.uint8, tile=(64, 64), compression="zlib")

    claim(2000)
    with opened(path) as reader:
        assert reader.size == (2000, 2000)
    monkeypatch.setattr("toolkit.data.image_headers.MAX_WINDOWED_PIXELS", 1_000_000)
    with pytest.raises(
        ImageError, match=r"2000 x 2000 pixels .* set the environment variable TOOLKIT_MAX_PI"
    ):
        open_tiff(path)
    monkeypatch.setenv("TOOLKIT_MAX_PIXELS", "4e6")
    assert open_tiff(path) is not None


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_are_errors_and_nothing_else(seed: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", ["tiles", "deflate", "lzw", "jpeg", "strips", "palette"][seed])
    data, random = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(40):
        damaged = bytearray(data)
        for place in random.integers(0, min(len(data), 1200) if random.random() < 0.7 else len(data), 4):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            reader = open_tiff(path)
            if reader is not None:
                with reader:
                    part = reader.read(Rectangle(0, 0, min(90, reader.size[0]), min(90, reader.size[1])))
                    assert part.shape[0] == 3
        except ImageError:
            pass
