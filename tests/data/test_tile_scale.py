"""Tiles become the same 8 bits as in the whole image, whatever their values are."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from toolkit.config.scale import Scale
from toolkit.data import tile_scale as module
from toolkit.data.images import read_picture
from toolkit.data.pixel_scale import Limits, Table, in_order
from toolkit.data.tiff_windows import TiffWindows, open_tiff
from toolkit.errors import ImageError
from toolkit.types.pixel_runs import Rectangle

SIZE = (90, 130)
PLACES = [Rectangle(70, 100, 90, 130), Rectangle(0, 0, 1, 1), Rectangle(20, 10, 80, 121)]
SCALES = {
    "min-max": Scale(percentiles=(0, 100)),
    "usual": Scale(percentiles=(1, 99)),
    "odd": Scale(percentiles=(0.37, 63.21)),
    "range": Scale(range=(-3.5, 40)),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (32, 48)},
    "deflate": {"tile": (32, 48), "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 17},
    "big-endian": {"tile": (32, 48), "byteorder": ">"},
}


def values(kind: str, seed: int = 0) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    dtype = np.dtype(kind.partition("-")[0])
    if dtype.kind == "f":
        found = random.normal(5, 30, SIZE).astype(dtype)
        found[random.random(SIZE) < 0.3] = 0
        if kind.endswith("odd"):
            for odd in (np.nan, np.inf, -np.inf):
                found[random.random(SIZE) < 0.05] = odd
        return found
    low, high = (0, 1 << 16) if dtype.kind == "u" else (-(1 << 20), 1 << 20)
    return random.integers(low, high, SIZE).astype(dtype) // 1000


def opened(path: Path, scale: Scale | None, known: Table | Limits | None = None) -> TiffWindows:
    found = open_tiff(path, scale, known)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        (kind, layout)
        for kind in ("float32", "float32-odd", "int32", "uint32", "uint16")
        for layout in LAYOUTS
        if (kind, layout) != ("uint32", "big-endian")  # Pillow knows no such TIFF, and says so
    ],
)
def test_windows_have_the_8_bits_and_the_notes_of_the_whole(kind: str, layout: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values(kind), photometric="minisblack", metadata=None, **LAYOUTS[layout])
    for scale in SCALES.values():
        whole = read_picture(path, scale)
        with opened(path, scale) as reader:
            for place in (*PLACES, Rectangle(0, 0, *SIZE)):
                expected = whole.pixels[:, place.top : place.bottom, place.left : place.right]
                assert torch.equal(reader.read(place), expected)
            assert reader.notes() == whole.notes
            known = reader.known
        if scale.range is None:
            with opened(path, scale, known) as again:
                again.inside = None  # type: ignore[method-assign, assignment]
                assert torch.equal(again.read(PLACES[1]), whole.pixels[:, :1, :1]), (
                    "nothing is found out anew"
                )
    if kind.endswith("odd"):
        assert (
            "values that are not finite numbers; NaN became 0"
            in read_picture(path, SCALES["usual"]).notes["scale"]
        )


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint32])
@pytest.mark.parametrize("seed", range(4))
def test_percentiles_are_those_of_numpy_to_the_last_bit(seed: int, dtype: type) -> None:
    random = np.random.default_rng(seed)

    class Pieces(module.Tiles):
        def __init__(self) -> None:
            scales = 10.0 ** random.integers(-30, 30, 7) if dtype == np.float32 else [3e4] * 7
            self.parts = [
                np.abs(random.normal(0, scale, random.integers(1, 60))).astype(dtype)
                if dtype == np.uint32
                else random.normal(0, scale, random.integers(1, 60)).astype(dtype)
                for scale in scales
            ]
            self.count = len(self.parts)

        def inside(self, number: int, values: Any = None) -> Any:
            return self.parts[number]

    pieces = Pieces()
    whole = np.concatenate(pieces.parts)
    for percents in ((0, 100), (1, 99), (12.5, 50), (33.3, 66.7), *np.sort(random.uniform(0, 100, (20, 2)))):
        scale = Scale(percentiles=(float(percents[0]), float(percents[1])))
        found = module._limits(pieces, scale, Path("a.tif"))
        expected = np.percentile(whole, scale.limits)
        assert (found.low, found.high) == (float(expected[0]), float(expected[1]))


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint32])
def test_numbers_are_in_the_order_of_the_values(dtype: type) -> None:
    info: Any = np.finfo(dtype) if dtype == np.float32 else np.iinfo(dtype)
    found = np.array([info.min, 0, 1, 2, info.max] + ([-1, -2] if dtype != np.uint32 else []), dtype)
    found = np.unique(found)
    numbers = in_order(found, found.dtype)
    assert numbers.dtype == np.uint32
    assert (np.diff(numbers.astype(np.int64)) > 0).all()
    assert np.array_equal(in_order(numbers, found.dtype, back=True), found)


def test_an_image_without_a_number_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full(SIZE, np.nan, np.float32), tile=(32, 48), photometric="minisblack")
    with (
        opened(path, SCALES["usual"]) as reader,
        pytest.raises(ImageError, match=r"a\.tif has no value that is a"),
    ):
        reader.read(PLACES[0])
    with opened(path, SCALES["range"]) as reader:
        reader.read(Rectangle(0, 0, *SIZE))
        with pytest.raises(ImageError, match=r"a\.tif has no value that is a number"):
            reader.notes()


def test_without_a_scale_values_without_a_range_are_refused_before_anything_is_decoded(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values("float32"), tile=(32, 48), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:2000])  # decoding would say so
    for read in (open_tiff, read_picture):
        with pytest.raises(
            ImageError, match=r"floating-point pixels .* Hint: train with data\.options\.scale"
        ):
            read(path)


@pytest.mark.parametrize("kind", ["float32", "uint16"])
def test_a_reader_that_nobody_has_is_gone_at_once(kind: str, tmp_path: Path) -> None:
    """In a cycle of references, its file would stay open until the garbage collector runs."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values(kind), tile=(32, 48), photometric="minisblack")
    gc.disable()
    try:
        reader = opened(path, SCALES["usual"])
        reader.read(PLACES[0])
        gone = weakref.ref(reader)
        del reader
        assert gone() is None
    finally:
        gc.enable()
