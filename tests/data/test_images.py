"""What readers of photos and label maps promise, against Pillow and for every bad input."""

from __future__ import annotations

import ast
import contextlib
import os
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support.source_tree import FILES, tree_of

from toolkit.data import images
from toolkit.data.images import (
    IMAGE_SUFFIXES,
    decode_image,
    decode_numbers,
    has_colors,
    image_palette,
    image_size,
    read_channels,
    read_id_map,
    read_image,
    read_label_map,
    write_id_map,
    write_label_map,
)
from toolkit.errors import ImageError, InvalidDataError
from toolkit.types import VOID
from toolkit.visualization.palettes import default_palette, full_palette


def photo(height: int = 60, width: int = 83, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


def encoded(array: np.ndarray, kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def as_hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def reference(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


KINDS = [
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGB", {}),
    ("PNG", "L", {}),
    ("PNG", "1", {}),
    ("PNG", "LA", {}),
    ("PNG", "P", {}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "RGBA", {}),
    ("BMP", "RGB", {}),
    ("BMP", "L", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "L", {}),
    ("TIFF", "P", {}),
    ("TIFF", "CMYK", {}),
]


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS, ids=lambda value: str(value))
def test_every_kind_of_file_reads_as_rgb(
    tmp_path: Path, kind: str, mode: str, options: dict[str, object]
) -> None:
    data = encoded(photo(), kind, mode, **options)
    path = (
        tmp_path / "größe und leerzeichen 画像.img"
    )  # OpenCV's own file reading fails on some systems for such names
    path.write_bytes(data)
    image = read_image(path)
    assert image.dtype == torch.uint8
    assert image.shape == (3, 60, 83)
    tolerance = 1 if mode == "CMYK" else 0  # two roundings of the same formula
    assert np.abs(as_hwc(image).astype(int) - reference(data)).max() <= tolerance
    assert image_size(path) == (60, 83)


def test_transparency_is_dropped_not_blended(tmp_path: Path) -> None:
    color = photo()
    rgba = np.dstack([color, np.zeros(color.shape[:2], np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(as_hwc(read_image(tmp_path / "clear.png")), color)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_become_8_over_the_full_range(tmp_path: Path, channels: int, suffix: str) -> None:
    values = np.linspace(0, 65535, 40 * 50 * channels).round().astype(np.uint16).reshape(40, 50, channels)
    path = tmp_path / f"deep{suffix}"
    stored = values[..., [2, 1, 0, 3][:channels]] if channels > 1 else values
    path.write_bytes(cv2.imencode(suffix, stored)[1].tobytes())
    want = np.round(values[..., :3] / 257).astype(np.uint8)
    np.testing.assert_array_equal(as_hwc(read_image(path)), np.broadcast_to(want, (40, 50, 3)))


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(photo()[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"float\.tif.*Hint"):
        read_image(tmp_path / "float.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(kind, {})
    data = encoded(photo(), kind, exif=exif, **options)
    path = tmp_path / "turned"
    path.write_bytes(data)
    steps = [[], ["h"], ["r", "r"], ["v"], ["t"], ["t", "h"], ["t", "r", "r"], ["t", "v"]][orientation - 1]
    act = {
        "h": lambda a: a[:, ::-1],
        "v": lambda a: a[::-1],
        "t": lambda a: a.transpose(1, 0, 2),
        "r": lambda a: np.rot90(a),
    }
    want = photo()
    for step in steps:
        want = act[step](want)
    tolerance = 12 if kind == "JPEG" else 0
    image = read_image(path)
    assert image_size(path) == want.shape[:2] == tuple(image.shape[1:])
    assert np.abs(as_hwc(image).astype(int) - want).max() <= tolerance


@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 20000), (20000, 10), (1, 257)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_odd_sizes(tmp_path: Path, height: int, width: int, suffix: str) -> None:
    array = photo(max(height, 1), width)
    path = tmp_path / f"odd{suffix}"
    Image.fromarray(array).save(path)
    assert read_image(path).shape == (3, height, width)
    assert image_size(path) == (height, width)


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS, ids=lambda value: str(value))
def test_a_file_cut_off_anywhere_is_refused(
    tmp_path: Path, kind: str, mode: str, options: dict[str, object]
) -> None:
    data = encoded(photo(), kind, mode, **options)
    path = tmp_path / "cut.bin"
    # Rows of a BMP are padded to four bytes, of which the last may be missing; the end of a JPEG is no part
    # of the image.
    most = len(data) - {"BMP": 4, "JPEG": 12}.get(kind, 1)
    for length in np.linspace(1, most, 40).astype(int):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=r"cut\.bin .*Hint"):
            read_image(path)


def test_a_photo_cut_off_anywhere_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    thumbnail = encoded(photo(30, 40), "JPEG")
    header = b"Exif\0\0" + thumbnail  # an end marker in the header, as cameras put there
    segment = b"\xff\xe1" + (len(header) + 2).to_bytes(2, "big") + header
    whole = encoded(photo(900, 1200), "JPEG", quality=95)
    data = whole[:2] + segment + whole[2:]
    path = tmp_path / "camera.jpg"
    path.write_bytes(data)
    assert read_image(path).shape == (3, 900, 1200)
    for length in np.linspace(len(segment) + 700, len(data) - 3, 15).astype(int):
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=r"camera\.jpg is cut off: it ends after \d+ bytes.*Hint: copy"):
            read_image(path)
    assert capfd.readouterr().err == ""  # no noise from C libraries


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_whole(
    tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "camera.jpg"
    for seed in range(3):
        whole = encoded(photo(40 + seed, 64, seed), "JPEG", mode, quality=85)
        for missing in (1, 2):
            path.write_bytes(whole[:-missing])
            assert torch.equal(read_image(path), decode_image(whole, "whole"))
        for missing in range(3, 300, 7):
            path.write_bytes(whole[:-missing])
            with contextlib.suppress(ImageError):  # the last bits may be padding
                assert torch.equal(read_image(path), decode_image(whole, "whole"))
                assert missing < 8
    assert capfd.readouterr().err == ""


def test_of_a_progressive_jpeg_without_its_end_whole_scans_may_be_missing(tmp_path: Path) -> None:
    whole = encoded(photo(), "JPEG", progressive=True)
    for end in (whole.rindex(b"\xff\xc4"), len(whole) - 2):
        (tmp_path / "p.jpg").write_bytes(whole[:end])
        with pytest.raises(ImageError, match=r"p\.jpg is cut off: .*without the mark"):
            read_image(tmp_path / "p.jpg")


def test_what_cameras_append_is_ignored(tmp_path: Path) -> None:
    data = encoded(photo(), "JPEG")
    film = b"\xff\xda\0\x08ftyp" + bytes(range(256)) * 3
    path = tmp_path / "motion.jpg"
    path.write_bytes(data + film)
    np.testing.assert_array_equal(as_hwc(read_image(path)), reference(data))


BAD = [
    (b"", r"is empty \(0 bytes\)\. Hint: copy"),
    (b"\0" * 1000, r"is not a readable image .* Hint: remove it"),
    (
        b"<html>404</html>",
        r"is not a readable image .JPEG, PNG, BMP, WebP, TIFF, GIF or JPEG 2000.: it begins with b'<html>40'",
    ),
    (b"\xff\xd8\xff\xe0" + b"\0" * 400, r"damaged header"),
    (b"\x89PNG\r\n\x1a\n" + b"\0" * 40 + b"IEND\xaeB`\x82", r"damaged header"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
@pytest.mark.parametrize("read", [read_image, image_size, read_label_map])
def test_bad_content_names_file_fault_and_hint(
    tmp_path: Path, data: bytes, message: str, read: object
) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    expected = (
        rf"bad\.jpg (damaged header|has a damaged header|{message})"
        if read is image_size
        else rf"bad\.jpg .*{message}"
    )
    with pytest.raises(ImageError, match=expected):
        read(path)


@pytest.mark.parametrize("read", [read_image, image_size, read_label_map])
def test_files_that_cannot_be_opened(tmp_path: Path, read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg does not exist\. Hint: check the path"):
        read(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match=r"is a folder, not an image\. Hint: give a file inside it"):
        read(tmp_path)

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(
        ImageError, match=r"locked\.jpg cannot be read: permission denied\. Hint: change its permissions"
    ):
        read(tmp_path / "locked.jpg")


def test_a_small_file_that_claims_to_be_huge_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(encoded(photo(), "PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = __import__("zlib").crc32(data[12:29]).to_bytes(4, "big")
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for read in (read_image, image_size, read_label_map):
        with pytest.raises(
            ImageError,
            match=r"bomb\.png says that it has 60000 x 60000 pixels, more than the 400000000.*Hint",
        ):
            read(path)


def test_large_but_honest_images_raise_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow would warn, and refuse from twice that on
    Image.fromarray(photo()).save(tmp_path / "large.png")
    assert image_size(tmp_path / "large.png") == tuple(read_image(tmp_path / "large.png").shape[1:])


def test_image_size_does_not_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    path.write_bytes(path.read_bytes()[:200])
    assert image_size(path) == (60, 83)


def test_suffixes_are_lower_case_and_readable() -> None:
    usual = {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".gif",
        ".jp2",
        ".j2k",
    }
    assert usual == IMAGE_SUFFIXES


# --- label maps


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


ONE_WAY_IN = ("toolkit.data.image_decoding", "toolkit.data.image_headers")


@pytest.mark.parametrize("module", [name for name in FILES if name not in ONE_WAY_IN])
def test_images_are_decoded_nowhere_else(module: str) -> None:
    """All limits and conventions hold for a reader of datasets as well."""
    decoders = ("Image.open", "cv2.imread", "cv2.imdecode", "cv2.imreadmulti", "imageio.imread", "read_file")
    for node in ast.walk(tree_of(FILES[module])):
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in decoders, f"{module}, line {node.lineno}: use toolkit.data.images"


def test_what_is_left_out_of_an_image_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(images, "_SAID", images._Said())
    pages = [Image.fromarray(photo()), Image.fromarray(photo(seed=1))]
    for name in ("a.gif", "b.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        read_image(tmp_path / name)
    (line,) = caplog.messages
    assert line.startswith(
        f"{tmp_path / 'a.gif'} has several pages or frames, of which only the first is read"
    )


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
