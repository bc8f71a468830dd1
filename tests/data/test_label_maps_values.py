"""What readers and writers of label maps, ids and other numbers in images promise."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from photo_cases import as_hwc, encoded, photo
from PIL import Image

from toolkit.data import images
from toolkit.data.label_maps import (
    decode_numbers,
    has_colors,
    image_palette,
    read_channels,
    read_id_map,
    read_label_map,
    write_id_map,
    write_label_map,
)
from toolkit.errors import ImageError, InvalidDataError
from toolkit.types import VOID
from toolkit.visualization.palettes import default_palette, full_palette


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (200, 300), (1, 3000)])
def test_label_maps_come_back_as_written_and_show_the_palette(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    label_map = torch.from_numpy(rng.integers(0, 256, shape).astype(np.uint8))
    palette = default_palette(7, first=1)
    path = tmp_path / "deep" / "map.png"
    write_label_map(path, label_map, palette)
    assert torch.equal(read_label_map(path), label_map)
    colors = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(colors, full_palette(palette)[label_map.numpy()])
    assert [p.name for p in path.parent.iterdir()] == ["map.png"]


def test_void_has_its_color() -> None:
    assert full_palette([(1, 2, 3)])[VOID].tolist() == [224, 224, 192]
    assert full_palette([(1, 2, 3)])[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_maps_of_few_bits_keep_their_indexes(tmp_path: Path, bits: int, mode: str) -> None:
    values = np.random.default_rng(2).integers(0, 2**bits, (20, 31)).astype(np.uint8)
    path = tmp_path / "few.png"
    if mode == "P":
        image = Image.fromarray(values)
        image.putpalette([c for i in range(2**bits) for c in (255 - i, i, 7)])
        image.save(path, bits=bits)
    else:
        path.write_bytes(gray_png(values, bits))
    assert torch.equal(read_label_map(path), torch.from_numpy(values))


def gray_png(values: np.ndarray, bits: int) -> bytes:
    """A gray PNG of few bits a pixel, which neither Pillow nor OpenCV writes."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = []
    for row in values:
        unpacked = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows.append(b"\0" + np.packbits(unpacked.reshape(-1).astype(np.uint8)).tobytes())
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )


def test_16_bit_label_maps(tmp_path: Path) -> None:
    values = np.array([[0, 3], [254, 255]], np.uint16)
    cv2.imwrite(str(tmp_path / "fits.png"), values)
    assert torch.equal(read_label_map(tmp_path / "fits.png"), torch.from_numpy(values.astype(np.uint8)))
    cv2.imwrite(str(tmp_path / "ids.png"), values * 4)
    with pytest.raises(
        ImageError, match=r"ids\.png has the value 1020; expected class indexes up to 254, and 255 for void"
    ):
        read_label_map(tmp_path / "ids.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_color_is_not_a_label_map(tmp_path: Path, mode: str) -> None:
    Image.fromarray(photo()).convert(mode).save(tmp_path / "c.png")
    with pytest.raises(
        ImageError,
        match=rf"c\.png is a color image \(mode {mode}\); expected one class index per pixel\. Hint",
    ):
        read_label_map(tmp_path / "c.png")


def test_jpeg_is_not_a_label_map(tmp_path: Path) -> None:
    Image.fromarray(photo()).convert("L").save(tmp_path / "c.jpg")
    with pytest.raises(
        ImageError,
        match=r"c\.jpg is a JPEG, whose compression changes label values\. Hint: save label maps as PNG",
    ):
        read_label_map(tmp_path / "c.jpg")


def test_a_label_map_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    write_label_map(path, torch.from_numpy(photo()[..., 0].copy()), [])
    data = path.read_bytes()
    for length in np.linspace(1, len(data) - 1, 30).astype(int):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=r"cut\.png .*Hint"):
            read_label_map(path)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0x55
    path.write_bytes(damaged)
    with pytest.raises(ImageError, match=r"cut\.png is damaged or cut off"):
        read_label_map(path)


def test_write_label_map_refuses_what_is_not_a_label_map(tmp_path: Path) -> None:
    for wrong in (torch.zeros(2, 2), torch.zeros((2, 2, 3), dtype=torch.uint8)):
        with pytest.raises(InvalidDataError, match=r"label_map must be uint8 \[H, W\], not"):
            write_label_map(tmp_path / "x.png", wrong, [])
    assert not list(tmp_path.iterdir())


def test_default_palette_is_distinct_and_follows_the_voc_devkit() -> None:
    assert default_palette(5) == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert default_palette(4, first=1) == default_palette(5)[1:]
    assert len(set(default_palette(256))) == 256
    assert images.MAX_PIXELS >= 20_000 * 10


@pytest.mark.parametrize("largest", [0, 1, 254, 255, 256, 40_000, 65_535])
def test_ids_of_objects_there_and_back(tmp_path: Path, largest: int) -> None:
    ids = torch.from_numpy(np.random.default_rng(largest).integers(0, largest + 1, (30, 41)).astype(np.int32))
    ids[3, 4] = largest
    write_id_map(tmp_path / "ids.png", ids)
    found = read_id_map(tmp_path / "ids.png")
    assert found.dtype == torch.int32
    assert torch.equal(found, ids)
    with Image.open(tmp_path / "ids.png") as image:
        assert image.mode == ("P" if largest < 256 else "I;16")
    if largest > 255:
        with pytest.raises(ImageError, match="has the value"):
            read_label_map(tmp_path / "ids.png")


def test_ids_that_no_file_holds(tmp_path: Path) -> None:
    for wrong in (-1, 65_536):
        with pytest.raises(InvalidDataError, match=f"must be 0…65535, not {wrong}"):
            write_id_map(tmp_path / "x.png", torch.tensor([[0, wrong]]))
    assert not (tmp_path / "x.png").exists()


def test_ids_of_32_bits(tmp_path: Path) -> None:
    ids = np.array([[0, 70_000], [2**31 - 1, 5]], np.int32)
    Image.fromarray(ids).save(tmp_path / "ids.tif")
    assert read_id_map(tmp_path / "ids.tif").tolist() == ids.tolist()
    Image.fromarray(-ids).save(tmp_path / "ids.tif")
    with pytest.raises(
        ImageError, match=r"ids.tif has the value -2147483647; expected object ids of 0 or more"
    ):
        read_id_map(tmp_path / "ids.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_hold_numbers(tmp_path: Path, dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (9, 13, 3)).astype(dtype)
    cv2.imwrite(str(tmp_path / "c.png"), pixels[..., ::-1])
    found = read_channels(tmp_path / "c.png")
    assert found.dtype == torch.int32
    assert np.array_equal(as_hwc(found), pixels)
    cv2.imwrite(str(tmp_path / "gray.png"), pixels[..., 1])
    assert np.array_equal(
        as_hwc(read_channels(tmp_path / "gray.png")), np.stack([pixels[..., 1]] * 3, axis=2)
    )


def test_palettes_and_whether_there_are_colors(tmp_path: Path) -> None:
    write_label_map(tmp_path / "p.png", torch.zeros((3, 4), dtype=torch.uint8), [(1, 2, 3), (4, 5, 6)])
    palette = image_palette(tmp_path / "p.png")
    assert palette is not None
    assert palette[:6] == [1, 2, 3, 4, 5, 6]
    kinds = {"1": False, "L": False, "P": False, "RGB": True, "RGBA": True, "LA": True}
    for mode, is_color in kinds.items():
        Image.fromarray(photo()).convert(mode).save(tmp_path / "c.png")
        assert has_colors(tmp_path / "c.png") == is_color
        assert (image_palette(tmp_path / "c.png") is not None) == (mode == "P")


def test_numbers_from_bytes() -> None:
    values = np.random.default_rng(0).integers(0, 2, (5, 7)).astype(bool)
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    found = decode_numbers(buffer.getvalue(), "a mask")
    assert found.tolist() == values.astype(int).tolist()
    for data, message in (
        (b"", "is empty"),
        (b"no image", "is not a readable image"),
        (encoded(photo(), "PNG"), "color"),
    ):
        with pytest.raises(ImageError, match=f"a mask .*{message}"):
            decode_numbers(data, "a mask")


def test_channels_of_a_palette_are_its_colors(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).choice(np.array([[0, 0, 0], [3, 0, 250], [7, 1, 2]], np.uint8), (9, 13))
    Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE, colors=3).save(tmp_path / "p.png")
    assert np.array_equal(as_hwc(read_channels(tmp_path / "p.png")), pixels)


def test_numbers_are_not_read_from_damaged_or_lossy_files(tmp_path: Path) -> None:
    for read in (read_channels, read_id_map):
        (tmp_path / "l.jpg").write_bytes(encoded(photo(), "JPEG"))
        with pytest.raises(ImageError, match=r"l.jpg is a JPEG, whose compression changes label values"):
            read(tmp_path / "l.jpg")
        data = encoded(photo(), "PNG", "L")
        for cut in (len(data) // 2, len(data) - 3):
            (tmp_path / "cut.png").write_bytes(data[:cut])
            with pytest.raises(ImageError, match=r"cut.png is cut off"):
                read(tmp_path / "cut.png")
    (tmp_path / "color.png").write_bytes(encoded(photo(), "PNG"))
    with pytest.raises(ImageError, match="is a color image"):
        read_id_map(tmp_path / "color.png")
