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
from photo_cases import as_hwc, encoded, photo
from PIL import Image
from support.source_tree import FILES, tree_of

from toolkit.data import images
from toolkit.data.images import IMAGE_SUFFIXES, decode_image, image_size, read_image
from toolkit.data.label_maps import read_label_map, write_label_map
from toolkit.errors import ImageError


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


ONE_WAY_IN = (
    "toolkit.data.image_decoding",
    "toolkit.data.image_headers",
    "toolkit.export.program_frame",  # part of predict.py, which runs without the toolkit
)


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


def test_a_label_map_of_the_expected_size_may_have_few_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.data.image_headers.FREE_BYTES", 1000)
    write_label_map(tmp_path / "a.png", np.ones((600, 700), np.uint8), [])
    with pytest.raises(ImageError, match="more than 100 pixels per byte"):
        read_label_map(tmp_path / "a.png")
    with pytest.raises(ImageError, match="more than 100 pixels per byte"):
        read_label_map(tmp_path / "a.png", (700, 600))
    assert int(read_label_map(tmp_path / "a.png", (600, 700)).min()) == 1
    monkeypatch.setattr("toolkit.data.image_headers.MAX_PIXELS", 600 * 700 - 1)
    with pytest.raises(ImageError, match="more than the 419999 that are allowed"):
        read_label_map(tmp_path / "a.png", (600, 700))
