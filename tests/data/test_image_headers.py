"""What is refused before a pixel is decoded: files that claim more than they hold, or that never end."""

from __future__ import annotations

import struct
import time
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_cases import chunk, encoded, exif, photo, png, tiff, with_exif
from PIL import Image, ImageFile

from toolkit.data.image_headers import FREE_BYTES, MAX_PIXELS, PIXELS_VARIABLE, read_header
from toolkit.data.images import image_size, pixel_count, read_image
from toolkit.data.label_maps import read_channels, read_label_map
from toolkit.errors import ImageError, UsageError

READERS = (read_image, read_label_map, read_channels)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a pixel is decoded."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<LHHLLllHHLLllLL", 90, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        + b"\0" * 40
    )


def gif(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    at = data.index(b"\x2c")
    data[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def jpeg(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jp2(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "JPEG2000"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">LL", height, width)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "WEBP", lossless=True))
    bits = (width - 1) | (height - 1) << 14
    data[21:25] = struct.pack("<L", bits | data[24] & 0xF0 << 24)
    return bytes(data)


def tall_tiff(width: int, height: int) -> bytes:
    data = bytearray(tiff(photo()))
    for tag, value in ((256, width), (257, height)):
        at = data.index(struct.pack("<HHL", tag, 3, 1))
        data[at : at + 12] = struct.pack("<HHLL", tag, 4, 1, value)
    return bytes(data)


CLAIMS = {
    "png": png(30_000, 13_000, b"\0" * 1000),
    "one bit": png(19_000, 21_000, b"\0" * 50_000, bits=1, color=0),
    "palette": png(12_000, 30_000, b"\0" * 90_000, color=3),
    "bmp": bmp(15_000, 14_000),
    "gif": gif(16_000, 9_500),
    "jpeg": jpeg(19_000, 20_000),
    "jpeg 2000": jp2(6_000, 5_000),
    "tiff": tall_tiff(18_000, 9_000),
}


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_small_file_that_claims_many_pixels_is_refused_undecoded(tmp_path: Path, claim: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(CLAIMS[claim])
    started = time.perf_counter()
    with pytest.raises(
        ImageError,
        match=rf"bomb says that it has \d+ x \d+ pixels in a file of [\d,]+ .*Hint: .*{PIXELS_VARIABLE}=\d+",
    ):
        read_image(path)
    assert time.perf_counter() - started < 2


def test_a_webp_that_claims_many_pixels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(webp(16_000, 16_000))
    with pytest.raises(ImageError, match="bomb .*Hint"):
        read_image(tmp_path / "bomb")


@pytest.mark.usefixtures("no_decoding")
def test_more_pixels_than_are_read_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(50_000, 9_000, b"\0"))
    for read in (*READERS, image_size, pixel_count):
        with pytest.raises(
            ImageError, match=rf"50000 x 9000 pixels, more than the {MAX_PIXELS} .*=450000000 to"
        ):
            read(path)
    monkeypatch.setenv(PIXELS_VARIABLE, "450000000")
    assert image_size(path) == (9_000, 50_000)


def test_the_advice_to_allow_more_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (13_000, 3_200), 7).save(tmp_path / "blank.png")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "blank.png")
    name, value = str(caught.value).partition("variable ")[2].split()[0].split("=")
    monkeypatch.setenv(name, value)
    pixels = read_image(tmp_path / "blank.png")
    assert (pixels.shape, int(pixels[:, ::99, ::99].min())) == ((3, 3_200, 13_000), 7)
    monkeypatch.setenv(name, "4e7")
    with pytest.raises(ImageError, match="says that it has"):
        read_image(tmp_path / "blank.png")
    for wrong in ("many", "inf", "nan"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(UsageError, match=f"{name} must be a number of pixels, not '{wrong}'"):
            read_image(tmp_path / "blank.png")


def test_label_maps_may_be_larger_than_photos_and_blank(tmp_path: Path) -> None:
    Image.new("L", (9_000, 5_000), 3).save(tmp_path / "labels.png")
    assert FREE_BYTES < 9_000 * 5_000 * 3
    assert read_label_map(tmp_path / "labels.png").shape == (5_000, 9_000)


def test_large_images_that_account_for_their_pixels_are_read(tmp_path: Path) -> None:
    """The budget depends on the bytes of the file, of which there are enough here."""
    data = encoded(np.tile(photo(100, 100), (50, 90, 1)), "JPEG", quality=60)
    (tmp_path / "photo.jpg").write_bytes(data)
    assert FREE_BYTES < 9_000 * 5_000 * 3
    assert read_image(tmp_path / "photo.jpg").shape == (3, 5_000, 9_000)


def refused_at_once(path: Path, message: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ImageError, match=message):
        read_image(path)
    assert time.perf_counter() - started < 3


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "GIF", "JPEG2000"])
def test_a_file_far_larger_than_its_pixels_is_refused_unread(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(encoded(photo(), kind))
    with open(path, "r+b") as file:
        file.truncate(100 << 30)
    refused_at_once(path, r"sparse .*Hint")


def test_the_first_page_of_a_file_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    path.write_bytes(tiff(photo()))
    with open(path, "r+b") as file:
        file.truncate(20 << 30)
    np.testing.assert_array_equal(read_image(path).permute(1, 2, 0).numpy(), photo())


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff", b"BM", b"RIFF", b"GIF89a", b"II*\0", b"\x89PNG\r\n\x1a\n", b""]
)
def test_gigabytes_of_nothing_are_refused_at_once(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "zeros.png"
    path.write_bytes(start)
    with open(path, "r+b") as file:
        file.truncate(3 << 30)
    refused_at_once(path, r"zeros\.png .*Hint")


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0\0\x04ab" + b"\xff" * (8 << 20))
    refused_at_once(path, r"a\.jpg has a damaged header: it does not end\. Hint")


def test_sizes_and_orientations_come_from_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    data = with_exif(encoded(photo(300, 200), "JPEG"), exif(8, ">"))
    path.write_bytes(data[: len(data) // 2])
    assert image_size(path) == (200, 300)
    assert pixel_count(path) == 60_000
    header = read_header("a", BytesIO(data), len(data))
    assert (header.format, header.orientation(), header.notes()) == ("JPEG", 8, {})


def test_exif_as_image_magick_writes_it() -> None:
    block = b"Exif\0\0" + exif(6)
    profile = f"\nexif\n{len(block):8}\n{block.hex()}\n"
    data = encoded(photo(), "PNG")
    text = chunk(b"tEXt", b"Raw profile type exif\0" + profile.encode())
    header = read_header("a", BytesIO(data[:33] + text + data[33:]), len(data) + len(text))
    assert header.size() == (17, 11)
    broken = chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 8\nzz")
    header = read_header("a", BytesIO(data[:33] + broken + data[33:]), len(data) + len(broken))
    assert header.size() == (11, 17)


def test_images_that_are_decoded_whole_are_bounded_and_tiled_tiff_is_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.data.image_headers.MAX_PIXELS", 60 * 70 - 1)
    for name, hint in (("a.png", "convert it to a tiled TIFF"), ("a.tif", "cut it into tiles")):
        Image.fromarray(np.zeros((60, 70, 3), np.uint8)).save(tmp_path / name)
        with pytest.raises(
            ImageError, match=rf"{name} says .* more than the 4199 that are allowed\. Hint: {hint}"
        ):
            read_image(tmp_path / name)
