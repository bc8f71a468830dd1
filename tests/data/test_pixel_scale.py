"""Deep pixels become 8 bits by the scale that was asked for, as a whole and by windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from toolkit.config.scale import Scale
from toolkit.data.images import as_read, decode_picture, image_depth, read_image, read_picture, scaled_picture
from toolkit.data.pixel_scale import scaled
from toolkit.data.tiff_windows import open_tiff
from toolkit.errors import ImageError
from toolkit.types.pixel_runs import Rectangle

P1_99, MIN_MAX = Scale(percentiles=(1, 99)), Scale(percentiles=(0, 100))
RANGE = Scale(range=(100, 4095))
TYPES = (np.uint8, np.uint16, np.int32, np.uint32, np.float32)


def naive(values: np.ndarray[Any, Any], low: float, high: float) -> np.ndarray[Any, Any]:
    return np.clip(np.rint((values.astype(np.float64) - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def microscope(seed: int = 0, size: tuple[int, ...] = (90, 130)) -> np.ndarray[Any, Any]:
    """Dim noise with a few bright spots, uint16, of 12 bits."""
    random = np.random.default_rng(seed)
    return np.minimum(random.gamma(2, 150, size), 4095).astype(np.uint16)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("seed", range(8))
def test_percentiles_are_those_of_numpy(dtype: type, seed: int) -> None:
    random = np.random.default_rng(seed)
    size = tuple(random.integers(1, 40, 2))
    values = random.integers(0, 200, size).astype(dtype)
    values[0, 0], values[-1, -1] = 3, 220
    for percents in ((1, 99), (0, 100), (12.5, 60)):
        low, high = np.percentile(values, percents)
        if low < high:
            found, notes = scaled(values, Scale(percentiles=percents), "a.tif")
            assert np.array_equal(found, naive(values, low, high))
            assert notes == {}


@pytest.mark.parametrize("dtype", TYPES)
def test_values_outside_of_a_range_are_clipped_and_counted(dtype: type) -> None:
    values = np.array([[0, 50, 100], [150, 200, 250]], dtype)
    found, notes = scaled(values, Scale(range=(50, 200)), "a.tif")
    assert found.tolist() == [[0, 0, 85], [170, 255, 255]]
    assert notes["scale"] == "has 2 values (33.3%) outside of the scale 50 to 200, which were clipped"


def test_the_usual_rule_is_the_full_range(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    tifffile.imwrite(tmp_path / "a.tif", values)
    usual, full = read_image(tmp_path / "a.tif"), read_image(tmp_path / "a.tif", Scale(range=(0, 65535)))
    assert np.array_equal(usual, full)


def test_an_image_of_one_value_is_black_and_of_two_black_and_white() -> None:
    flat, notes = scaled(np.full((3, 4), 1234, np.uint16), P1_99, "a.tif")
    assert not flat.any()
    assert notes == {}
    spots = np.full((100, 100), 7.0, np.float32)
    spots[5, 5] = 9.0
    found, _ = scaled(spots, P1_99, "a.tif")
    assert found[5, 5] == 255
    assert np.count_nonzero(found) == 1


def test_numbers_that_are_not_finite_count_for_no_percentile() -> None:
    values = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    values[0, :3] = np.nan, np.inf, -np.inf
    found, notes = scaled(values, MIN_MAX, "a.tif")
    assert found[0, :3].tolist() == [0, 255, 0]
    assert np.array_equal(found[1:], naive(values[1:], float(values[0, 3]), 1.0))
    assert notes["scale"] == "has 3 values that are not finite numbers; NaN became 0"
    with pytest.raises(ImageError, match=r"b\.tif has no value that is a number\. Hint: "):
        scaled(np.full((2, 2), np.nan, np.float32), MIN_MAX, "b.tif")


@pytest.mark.parametrize("values", [[0.0, 1.0], [5000.0, 60000.0]])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_a_range_that_makes_one_color_of_an_image_is_an_error(values: list[float], dtype: type) -> None:
    with pytest.raises(ImageError, match=r"all of which the scale 100 to 4095 makes (black|white)\. Hint: "):
        scaled(np.array([values], dtype), RANGE, "a.tif")


def written(folder: Path, kind: str) -> tuple[Path, np.ndarray[Any, Any]]:
    """A file of a kind, and its values as gray, or as RGB."""
    gray, path = microscope(), folder / f"a.{kind.rpartition('.')[2]}"
    color = microscope(1, (90, 130, 3))
    if kind == "float.tif":
        values = gray.astype(np.float32) / 7
        tifffile.imwrite(path, values)
    elif kind == "signed.tif":
        values = gray.astype(np.int32) - 300
        tifffile.imwrite(path, values)
    elif kind == "unsigned.tif":
        values = gray.astype(np.uint32) + (1 << 31)
        tifffile.imwrite(path, values)
    elif kind == "color.tif":
        values = color
        tifffile.imwrite(path, values, photometric="rgb")
    elif kind == "color.png":
        values = color
        cv2.imwrite(str(path), values[..., ::-1])
    elif kind == "gray8.png":
        values = (gray >> 4).astype(np.uint8)
        Image.fromarray(values).save(path)
    else:
        values = gray
        cv2.imwrite(str(path), values)
    return path, values


DEPTHS = {
    "gray.png": "16-bit",
    "gray.tif": "16-bit",
    "color.png": "16-bit",
    "color.tif": "16-bit",
    "gray8.png": "8-bit",
    "float.tif": "float",
    "signed.tif": "32-bit",
    "unsigned.tif": "32-bit",
}


@pytest.mark.parametrize("kind", DEPTHS)
def test_every_kind_of_file_is_read_by_the_scale(tmp_path: Path, kind: str) -> None:
    path, values = written(tmp_path, kind)
    low, high = np.percentile(values, (1, 99))
    expected = naive(values, low, high)
    expected = np.repeat(expected[..., None], 3, axis=2) if expected.ndim == 2 else expected
    assert image_depth(path) == DEPTHS[kind]
    for scale in (P1_99, P1_99.model_copy(update={"bit_depth": DEPTHS[kind]})):
        assert np.array_equal(read_image(path, scale).permute(1, 2, 0), expected)
        assert np.array_equal(decode_picture(path.read_bytes(), path, scale).pixels, read_image(path, scale))
        assert np.array_equal(scaled_picture(values, "a", scale).pixels, read_image(path, scale))


@pytest.mark.parametrize("kind", DEPTHS)
def test_an_image_of_another_depth_is_refused(tmp_path: Path, kind: str) -> None:
    path, values = written(tmp_path, kind)
    other = "16-bit" if DEPTHS[kind] != "16-bit" else "8-bit"
    scale = P1_99.model_copy(update={"bit_depth": other})
    message = rf"has {DEPTHS[kind]} values, but the scale .* is for {other} images\. Hint: "
    with pytest.raises(ImageError, match=rf"a\.\w+ {message}"):
        read_image(path, scale)
    with pytest.raises(ImageError, match=message):
        scaled_picture(values, "memory", scale)
    read_image(path, P1_99.model_copy(update={"bit_depth": "any"}))


def test_frames_of_a_video_are_images_of_8_bits(tmp_path: Path) -> None:
    path, values = written(tmp_path, "gray8.png")
    pixels = read_image(path)
    assert as_read(pixels, "frame", None).pixels is pixels
    scale = Scale(range=(0, 100), bit_depth="8-bit")
    assert np.array_equal(as_read(pixels, "frame", scale).pixels[0], naive(values, 0, 100))
    with pytest.raises(ImageError, match="frame 3 has 8-bit values"):
        as_read(pixels, "frame 3", Scale(range=(0, 100), bit_depth="16-bit"))


def test_32_bits_and_floats_without_a_scale_name_the_setting(tmp_path: Path) -> None:
    for kind in ("float.tif", "signed.tif"):
        with pytest.raises(ImageError, match=r"Hint: train with data\.options\.scale"):
            read_image(written(tmp_path, kind)[0])


@pytest.mark.parametrize("bands", [2, 5])
def test_other_numbers_of_channels_are_not_supported(tmp_path: Path, bands: int) -> None:
    how: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", microscope(0, (40, 50, bands)), **how)
    for scale in (None, P1_99):
        with pytest.raises(ImageError, match=rf"a\.tif has {bands} bands of 16-bit .* not supported$"):
            read_image(tmp_path / "a.tif", scale)


def test_a_band_beside_the_colors_is_said_to_be_ignored(tmp_path: Path) -> None:
    values = microscope(0, (40, 50, 4))
    how: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    tifffile.imwrite(tmp_path / "a.tif", values, **how)
    found = read_picture(tmp_path / "a.tif", MIN_MAX)
    colors = values[..., :3]
    expected = naive(colors, int(colors.min()), int(colors.max()))
    assert np.array_equal(found.pixels.permute(1, 2, 0), expected)
    assert found.notes["bands"].endswith("more than three channels are not supported")


LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (32, 48)},
    "strips": {"rowsperstrip": 16},
    "color": {"tile": (32, 48), "photometric": "rgb"},
    "8 bits": {"tile": (32, 48)},
    "white is 0": {"tile": (32, 48), "photometric": "miniswhite"},
}


@pytest.mark.parametrize("scale", [P1_99, MIN_MAX, RANGE, Scale(range=(20, 200))], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_have_the_scale_of_the_whole_image(tmp_path: Path, layout: str, scale: Scale) -> None:
    values = microscope(2, (90, 130, 3)) if "photometric" in LAYOUTS[layout] else microscope(2)
    if layout in ("8 bits", "white is 0"):
        values = (microscope(2) >> 4).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, metadata=None, compression="zlib", **LAYOUTS[layout])
    whole = read_picture(path, scale)
    with open_tiff(path, scale) or pytest.fail("not readable by windows") as reader:
        # the last part first, so that the scale does not depend on what was read
        for top in range(60, -1, -30):
            for left in range(104, -1, -26):
                part = Rectangle(top, left, top + 30, left + 26)
                expected = whole.pixels[:, top : top + 30, left : left + 26]
                assert np.array_equal(reader.read(part), expected)
        assert reader.notes() == whole.notes


def test_separate_planes_of_16_bits_are_refused_as_a_whole_and_read_by_windows(tmp_path: Path) -> None:
    path, values = tmp_path / "a.tif", microscope(3, (90, 130, 3))
    how: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 48)}
    tifffile.imwrite(path, np.moveaxis(values, 2, 0), metadata=None, **how)
    for scale in (None, P1_99):
        with pytest.raises(ImageError, match=r"16 bits per channel in separate planes, .* Hint: "):
            read_image(path, scale)
    with open_tiff(path, MIN_MAX) or pytest.fail("not readable by windows") as reader:
        expected = naive(values, int(values.min()), int(values.max()))
        assert np.array_equal(reader.read(Rectangle(0, 0, 90, 130)).permute(1, 2, 0), expected)


def test_windows_of_another_depth_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", microscope(), tile=(32, 48))
    with pytest.raises(ImageError, match=r"a\.tif has 16-bit values"):
        open_tiff(tmp_path / "a.tif", P1_99.model_copy(update={"bit_depth": "8-bit"}))
