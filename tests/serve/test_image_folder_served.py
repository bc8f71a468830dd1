"""The folder of images: read as by ``toolkit infer``, by names that are looked up, and shown by browsers."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serve_cases import SIZE, encoded, photos, picture, with_limits

from toolkit.data.images import read_image
from toolkit.errors import ImageError, UsageError
from toolkit.serve import image_folder
from toolkit.serve.errors import RequestError
from toolkit.serve.image_folder import ImageFolder, uploaded
from toolkit.serve.options import Limits


def folder_with(tmp_path: Path, **files: bytes) -> ImageFolder:
    for name, data in files.items():
        (tmp_path / name.replace("__", ".")).write_bytes(data)
    return ImageFolder(tmp_path, Limits())


def shown(folder: ImageFolder, name: str) -> np.ndarray[Any, Any]:
    """The pixels that a browser shows: without EXIF orientation, so that it cannot be applied twice."""
    data = folder.displayed(name).data
    image = Image.open(io.BytesIO(data))
    assert image.getexif().get(0x0112, 1) == 1
    assert image.mode in ("L", "RGB", "P", "1")
    return np.array(image.convert("RGB"))


def test_names_are_paths_below_the_folder(tmp_path: Path) -> None:
    folder = ImageFolder(photos(tmp_path / "photos"), Limits())
    assert list(folder.names()) == [*(f"{i:02}.png" for i in range(6)), "sub/06.png"]
    assert folder.sample("sub/06.png").image.shape == (3, *SIZE)
    assert folder.size("sub/06.png") == SIZE


@pytest.mark.parametrize(
    "name", ["..", "", ".", "/", "../photos/00.png", "sub/../00.png", "SUB/06.png", "00.png/"]
)
def test_other_names_are_unknown(tmp_path: Path, name: str) -> None:
    folder = ImageFolder(photos(tmp_path / "photos"), Limits())
    with pytest.raises(RequestError) as caught:
        folder.path(name)
    assert caught.value.status_code == 404


def test_links_that_lead_out_are_left_out_and_others_not(tmp_path: Path) -> None:
    top = photos(tmp_path / "photos")
    (tmp_path / "secret.png").write_bytes(encoded(picture()))
    (top / "out.png").symlink_to(tmp_path / "secret.png")
    (top / "in.png").symlink_to(top / "sub" / "06.png")
    (tmp_path / "linked").symlink_to(top)
    names = ImageFolder(tmp_path / "linked", Limits()).names()
    assert "in.png" in names
    assert "out.png" not in names


def test_new_images_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ImageFolder(photos(tmp_path / "photos"), Limits())
    assert len(folder.names()) == 7
    (tmp_path / "photos" / "new.png").write_bytes(encoded(picture()))
    assert len(folder.names()) == 7, "not at once, so that many requests do not search each time"
    monkeypatch.setattr(image_folder, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(image_folder, "TIMES", 0)
    assert "new.png" in folder.names()
    (tmp_path / "photos" / "new.png").unlink()
    with pytest.raises(ImageError, match=r"^new.png does not exist"):
        folder.displayed("new.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP"])
def test_turned_photos_are_shown_as_models_see_them(tmp_path: Path, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "lossless": True} if format == "WebP" else {}
    data = encoded(picture(), format, exif=exif.tobytes(), **options)
    folder = folder_with(tmp_path, a__jpg=data)
    seen = read_image(tmp_path / "a.jpg").permute(1, 2, 0).numpy()
    found = shown(folder, "a.jpg")
    assert found.shape == seen.shape == ((*SIZE, 3) if orientation < 5 else (*SIZE[::-1], 3))
    assert folder.size("a.jpg") == seen.shape[:2]
    # a JPEG that was turned is compressed once more
    assert np.abs(found.astype(int) - seen).mean() < (6 if format == "JPEG" else 0.01)


def unusual() -> dict[str, bytes]:
    gray16 = io.BytesIO()
    Image.fromarray(picture()[..., 0].astype(np.uint16) * 257).save(gray16, "PNG")
    transparent = io.BytesIO()
    alpha = np.dstack([picture(), np.full(SIZE, 7, np.uint8)])
    Image.fromarray(alpha).save(transparent, "PNG")
    cmyk = io.BytesIO()
    Image.fromarray(picture()).convert("CMYK").save(cmyk, "JPEG", quality=95)
    film = io.BytesIO()
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:])
    palette = io.BytesIO()
    Image.fromarray(picture()).quantize(8).save(palette, "PNG")
    return {
        "tiff": encoded(picture(), "TIFF"),
        "bmp": encoded(picture(), "BMP"),
        "gray of 16 bits": gray16.getvalue(),
        "transparent": transparent.getvalue(),
        "cmyk": cmyk.getvalue(),
        "film": film.getvalue(),
        "palette": palette.getvalue(),
    }


@pytest.mark.parametrize("kind", unusual())
def test_what_browsers_do_not_show_is_converted(tmp_path: Path, kind: str) -> None:
    folder = folder_with(tmp_path, a__png=unusual()[kind])
    seen = read_image(tmp_path / "a.png").permute(1, 2, 0).numpy()
    assert folder.displayed("a.png").media_type in ("image/png", "image/jpeg")
    # what was compressed, of noise, is compressed once more
    assert np.abs(shown(folder, "a.png").astype(int) - seen).mean() < (4 if kind == "cmyk" else 0.01)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WebP"])
def test_what_browsers_show_is_sent_as_it_is(tmp_path: Path, format: str) -> None:
    data = encoded(picture(), format)
    found = folder_with(tmp_path, a__png=data).displayed("a.png")
    assert found.data == data
    assert found.media_type == f"image/{format.lower()}"


def test_too_many_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    limits = with_limits(pixels=SIZE[0] * SIZE[1] - 1)
    folder = ImageFolder(tmp_path, limits)
    for call in (folder.size, folder.sample, folder.displayed):
        with pytest.raises(RequestError, match="2,400 pixels") as caught:
            call("a.png")
        assert caught.value.status_code == 413
    with pytest.raises(RequestError, match="2,400 pixels"):
        uploaded(encoded(picture()), "a.png", limits)


def test_an_image_that_is_sent_is_read_as_a_file(tmp_path: Path) -> None:
    data = encoded(picture(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    assert (uploaded(data, "a", Limits()).image == read_image(tmp_path / "a.jpg")).all()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        ImageFolder(tmp_path / "none", Limits())


@pytest.mark.skipif(os.name != "posix", reason="names are bytes only there")
def test_names_that_are_not_utf8_are_left_out(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "photos" / os.fsdecode(b"\xff.png")).write_bytes(encoded(picture()))
    assert len(ImageFolder(tmp_path / "photos", Limits()).names()) == 7
