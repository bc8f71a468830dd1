"""Every container, mode, depth and orientation, against Pillow, or where that is wrong against numbers."""

from __future__ import annotations

import contextlib
import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from image_cases import chunk, encoded, exif, photo, png, tiff, with_exif
from PIL import Image, ImageOps, features

from toolkit.data import image_decoding
from toolkit.data.image_decoding import turned
from toolkit.data.images import decode_image, decode_picture, image_size, read_image
from toolkit.data.label_maps import read_channels, read_label_map
from toolkit.errors import ImageError

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"),
    "WEBP": ("L", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "YCbCr", "I;16"),
}
WITH_EXIF = ("PNG", "JPEG", "TIFF", "WEBP")
CASES = [
    (kind, mode, orientation)
    for kind, modes in MODES.items()
    for mode in modes
    for orientation in (range(1, 9) if kind in WITH_EXIF else (1,))
]


def written(kind: str, mode: str, orientation: int) -> bytes:
    """A file of noise with noise for its transparency."""
    image = Image.fromarray(np.dstack([photo(), photo(seed=1)[..., 0]]))
    if mode == "I;16":
        image = Image.fromarray(np.random.default_rng(2).integers(0, 65_536, (11, 17)).astype(np.uint16))
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    else:
        image = image.convert(mode)
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    if orientation != 1:
        tags = Image.Exif()
        tags[0x0112] = orientation
        options["exif"] = tags
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reference(data: bytes) -> np.ndarray:
    """What Pillow gives, but for 16 bits, which it cuts off at 255."""
    image = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float64)
        return np.repeat(np.round(deep / 257)[..., None], 3, axis=2).astype(np.uint8)
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB"))


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("kind", "mode", "orientation"), CASES)
def test_each_container_and_mode_reads_as_in_pillow(
    tmp_path: Path, kind: str, mode: str, orientation: int
) -> None:
    if kind == "JPEG2000" and not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    data = written(kind, mode, orientation)
    path = tmp_path / "image"
    path.write_bytes(data)
    want = reference(data)
    np.testing.assert_array_equal(hwc(read_image(path)), want)
    assert torch.equal(decode_image(data, "bytes"), read_image(path))
    assert image_size(path) == want.shape[:2] == ((17, 11) if orientation >= 5 else (11, 17))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_compressed_tiffs(compression: str | None, mode: str) -> None:
    data = encoded(photo(), "TIFF", mode, **({"compression": compression} if compression else {}))
    np.testing.assert_array_equal(hwc(decode_image(data, "a.tif")), reference(data))


@pytest.mark.parametrize("alpha", [0, 1, 90, 255])
def test_transparency_in_a_tiff_does_not_darken_its_colors(alpha: int) -> None:
    colors = photo()
    rgba = np.dstack([colors, np.full(colors.shape[:2], alpha, np.uint8)])
    for data in (encoded(rgba, "TIFF", "RGBA"), tiff(rgba, extra=(2,)), tiff(rgba, extra=(2,), order=">")):
        np.testing.assert_array_equal(hwc(decode_image(data, "a.tif")), colors)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_deep_tiffs_lie_as_they_should(order: str, orientation: int, bands: int) -> None:
    shape = (11, 17) if bands == 1 else (11, 17, bands)
    deep = np.random.default_rng(bands).integers(0, 65_536, shape).astype(np.uint16)
    data = tiff(deep, extra=(2,) if bands == 4 else (), orientation=orientation, order=order)
    colors = np.repeat(deep[..., None], 3, axis=2) if bands == 1 else deep[..., :3]
    want = np.round(colors / 257).astype(np.uint8)
    np.testing.assert_array_equal(hwc(decode_image(data, "a.tif")), turned_slowly(want, orientation))


@pytest.mark.parametrize("color", [0, 2, 4, 6])
def test_deep_pngs_use_the_full_range(color: int) -> None:
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    deep = np.random.default_rng(color).integers(0, 65_536, (5, 7, bands)).astype(">u2")
    data = png(7, 5, b"".join(b"\0" + row.tobytes() for row in deep), bits=16, color=color)
    colors = np.repeat(deep[..., :1], 3, axis=2) if bands < 3 else deep[..., :3]
    want = np.round(colors / 257).astype(np.uint8)
    np.testing.assert_array_equal(hwc(decode_image(data, "a.png")), want)


def turned_slowly(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """By the words of the EXIF standard: where row 0 and column 0 of the stored image are displayed."""
    height, width = pixels.shape[:2]
    is_turned = orientation >= 5
    out = np.empty((width, height) if is_turned else (height, width), dtype=object)
    for y in range(height):
        for x in range(width):
            down = {1: y, 2: y, 3: height - 1 - y, 4: height - 1 - y, 5: x, 6: x, 7: width - 1 - x}
            right = {1: x, 2: width - 1 - x, 3: width - 1 - x, 4: x, 5: y, 6: height - 1 - y}
            row = down.get(orientation, width - 1 - x)
            column = right.get(orientation, height - 1 - y if orientation == 7 else y)
            out[row, column] = pixels[y, x]
    return np.array(out.tolist(), dtype=pixels.dtype)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_orientations_by_the_words_of_the_standard(orientation: int, dtype: type) -> None:
    pixels = np.arange(12, dtype=dtype).reshape(3, 4)
    np.testing.assert_array_equal(turned(pixels, orientation), turned_slowly(pixels, orientation))
    colored = np.stack([pixels, pixels + 20, pixels + 40], axis=2)
    np.testing.assert_array_equal(turned(colored, orientation), turned_slowly(colored, orientation))


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_exif_behind_the_pixels_of_a_png(tmp_path: Path, orientation: int) -> None:
    data = encoded(photo(), "PNG")
    late = data[:-12] + chunk(b"eXIf", exif(orientation, ">")) + data[-12:]
    path = tmp_path / "a.png"
    path.write_bytes(late)
    want = turned_slowly(photo(), orientation)
    np.testing.assert_array_equal(hwc(read_image(path)), want)
    np.testing.assert_array_equal(reference(late), want)
    assert image_size(path) == want.shape[:2]


def test_a_label_image_lies_as_its_photo_does(tmp_path: Path) -> None:
    labels = np.random.default_rng(3).integers(0, 9, (11, 17)).astype(np.uint8)
    for orientation in range(1, 9):
        data = encoded(labels, "PNG", "L", exif=b"Exif\0\0" + exif(orientation))
        (tmp_path / "a.png").write_bytes(data)
        found = read_label_map(tmp_path / "a.png").numpy()
        np.testing.assert_array_equal(found, turned_slowly(labels, orientation))
        assert image_size(tmp_path / "a.png") == found.shape


BLOCKS = [
    b"garbage!",
    b"",
    b"II",
    b"II*\0\x08\0\0\0",
    b"MM\0*\xff\xff\xff\xff\0\x01",
    b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0",
    exif(0),
    exif(9),
    exif(65_535),
    exif(6)[:-8],
    b"II*\0" + b"\0" * 60_000,
]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_damaged_exif_leaves_an_image_as_it_is_stored(tmp_path: Path, block: bytes) -> None:
    jpeg, path = encoded(photo(), "JPEG"), tmp_path / "a"
    for data in (
        with_exif(jpeg, block),
        encoded(photo(), "PNG", exif=b"Exif\0\0" + block),
        encoded(photo(), "WEBP", lossless=True, exif=b"Exif\0\0" + block),
    ):
        path.write_bytes(data)
        assert image_size(path) == (11, 17)
        assert read_image(path).shape == (3, 11, 17)
    assert torch.equal(decode_image(with_exif(jpeg, block), "a"), decode_image(jpeg, "b"))


def frames(count: int) -> list[Image.Image]:
    return [Image.fromarray(photo(seed=index)) for index in range(count)]


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_of_several_pages_the_first_is_read_and_that_is_said(kind: str) -> None:
    first, *others = frames(3)
    options = {"lossless": True} if kind == "WEBP" else {}
    for more in (others, []):
        buffer = BytesIO()
        first.save(buffer, kind, **({"save_all": True, "append_images": more} if more else {}), **options)
        pixels, notes = decode_picture(buffer.getvalue(), "a")
        np.testing.assert_array_equal(hwc(pixels), reference(buffer.getvalue()))
        assert list(notes) == (["pages"] if more else [])


@pytest.mark.parametrize(
    ("bands", "extra", "is_said"),
    [
        (3, (), False),
        (4, (2,), False),
        (4, (1,), False),
        (4, (0,), True),
        (5, (0, 0), True),
        (6, (0, 0, 0), True),
    ],
)
def test_bands_beside_the_colors_are_said(bands: int, extra: tuple[int, ...], is_said: bool) -> None:
    pixels = np.random.default_rng(bands).integers(0, 256, (5, 7, bands), dtype=np.uint8)
    if extra == (1,):  # where colors were multiplied by transparency, none is larger
        pixels[..., 3] = 255
    picture = decode_picture(tiff(pixels, extra=extra), "a.tif")
    np.testing.assert_array_equal(hwc(picture.pixels), pixels[..., :3])
    assert ("bands" in picture.notes) == is_said


@pytest.mark.parametrize(
    ("most", "is_said"), [(4095, True), (1023, True), (16_383, True), (40_000, False), (0, False)]
)
@pytest.mark.parametrize("bands", [1, 3])
def test_deep_images_that_use_little_of_their_range_are_said(most: int, is_said: bool, bands: int) -> None:
    deep = np.random.default_rng(0).integers(0, most + 1, (9, 9, bands)).astype(np.uint16)
    deep[0, 0] = most
    picture = decode_picture(tiff(deep if bands > 1 else deep[..., 0]), "a.tif")
    assert ("range" in picture.notes) == is_said
    if is_said:
        assert f"up to {most} of 65535" in picture.notes["range"]


@pytest.mark.parametrize(
    ("pixels", "form", "words"),
    [
        (np.zeros((4, 5), np.float32), 3, "floating-point"),
        (np.zeros((4, 5, 3), np.float32), 3, "3 bands of 32-bit floating-point"),
        (np.zeros((4, 5), np.float64), 3, "floating-point"),
        (np.zeros((4, 5), np.int32), 2, "32-bit"),
        (np.zeros((4, 5, 7), np.uint8), 1, "7 bands of 8-bit unsigned"),
        (np.zeros((4, 5, 2), np.uint16), 1, "2 bands of 16-bit unsigned"),
    ],
)
def test_pixels_without_a_known_range_are_named(pixels: np.ndarray, form: int, words: str) -> None:
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    extra = (0,) * (bands - 3) if bands > 3 else (0,) * (bands == 2)
    with pytest.raises(ImageError, match=rf"a\.tif has .*{words}.*expected .*Hint"):
        decode_image(tiff(pixels, sample_format=form, extra=extra), "a.tif")


@pytest.mark.parametrize("bits", [2, 4])
def test_label_tiffs_of_few_bits_keep_their_indexes(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (6, 16)).astype(np.uint8)
    unpacked = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(unpacked.reshape(6, -1), axis=1)
    data = bytearray(tiff(rows))  # then say that these are more pixels of fewer bits
    for tag, value in ((256, 16), (258, bits)):
        place = data.index(struct.pack("<HHL", tag, 3, 1)) + 8
        data[place : place + 2] = struct.pack("<H", value)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.tif").numpy(), values)


def test_numbers_in_deep_channels_stay_what_they_are(tmp_path: Path) -> None:
    deep = np.random.default_rng(5).integers(0, 65_536, (6, 9, 3)).astype(np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(deep))
    np.testing.assert_array_equal(hwc(read_channels(tmp_path / "a.tif")), deep)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encoded(photo(16, 16), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    whole = decode_image(data[:-2] + scan * 50 + data[-2:], "a.jpg")
    assert whole.shape == (3, 16, 16)
    with pytest.raises(ImageError, match=r"a\.jpg has \d+ scans, .*expected 200 at most\. Hint"):
        decode_image(data[:-2] + scan * 500 + data[-2:], "a.jpg")
    large = encoded(np.zeros((5_000, 5_200, 3), np.uint8), "JPEG", progressive=True)
    start = large.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match=r"a\.jpg has \d+ scans, .*expected 24 at most\. Hint"):
        decode_image(large[:-2] + large[start:-2] * 40 + large[-2:], "a.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0x20000000, 5000])
def test_chunks_that_claim_more_than_the_file_has_are_refused_undecoded(
    mode: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV would take gigabytes for 77 bytes."""
    data = bytearray(written("PNG", mode, 1))
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">L", length)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"a\.png is cut off.*Hint"):
        decode_image(bytes(data), "a.png")


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "BMP", "JPEG2000"])
def test_damage_in_the_middle_is_never_a_traceback(kind: str) -> None:
    whole = encoded(photo(40, 50), kind)
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 6):
            data[place] = rng.integers(0, 256)
        with contextlib.suppress(ImageError):
            assert decode_image(bytes(data), "a").dtype == torch.uint8


@pytest.mark.parametrize(
    "name", ["color.jpg", "gray.jpg", "420.jpg", "color.png", "alpha.png", "16.png", "palette.png"]
)
def test_large_images_are_decoded_without_a_copy_to_the_same_pixels(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, path = np.random.default_rng(0), tmp_path / name
    pixels = cv2.GaussianBlur(random.integers(0, 256, (61, 83, 3), dtype=np.uint8), (5, 5), 0)
    images = {
        "gray": pixels[..., 0],
        "alpha": np.dstack([pixels, pixels[..., :1]]),
        "16": pixels.astype(np.uint16) * 257,
    }
    if name == "palette.png":
        Image.fromarray(pixels).quantize(40).save(path)
    else:
        options = (
            [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
            if name == "420.jpg"
            else []
        )
        cv2.imwrite(str(path), images.get(path.stem, pixels), options)
    expected = read_image(path)
    without, decode = [], image_decoding._by_imagecodecs
    monkeypatch.setattr(image_decoding, "_COPIED_PIXELS", 1)
    monkeypatch.setattr(image_decoding, "_by_imagecodecs", lambda *given: without.append(1) or decode(*given))
    assert torch.equal(read_image(path), expected)
    assert bool(without) == (name in ("color.jpg", "gray.jpg", "420.jpg", "color.png"))
    data = path.read_bytes()
    for cut in (len(data) // 2, len(data) - 40):
        path.write_bytes(data[:cut])
        with pytest.raises(ImageError, match="cut off"):
            read_image(path)


def test_a_large_image_that_is_damaged_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoding, "_COPIED_PIXELS", 1)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.png cannot be decoded: .* Hint"):
        read_image(path)


def test_colors_are_swapped_band_by_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoding, "_BAND_VALUES", 100)
    pixels = np.random.default_rng(0).integers(0, 65536, (23, 17, 3), dtype=np.uint16)
    expected = pixels[..., ::-1].copy()
    assert np.array_equal(image_decoding._swapped(pixels), expected)
