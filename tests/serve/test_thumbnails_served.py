"""Thumbnails: small, turned, in the right colors, and kept within a bound."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serve_cases import client_of, encoded, photos, picture, services_for, with_limits
from starlette.testclient import TestClient

from toolkit.errors import ImageError
from toolkit.serve.errors import RequestError
from toolkit.serve.image_folder import ImageFolder
from toolkit.serve.options import Limits
from toolkit.serve.thumbnails import SIDE, Thumbnails

BANDS = np.repeat(np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8), 130, 0)
"""Three colors, 130 pixels of each."""


def thumbnails(folder: Path, **options: Any) -> Thumbnails:
    return Thumbnails(ImageFolder(folder, Limits()), **options)


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return np.array(image).astype(int)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_it_looks_as_the_image_does(tmp_path: Path, format: str, orientation: int) -> None:
    image = np.broadcast_to(BANDS[:, None], (390, 200, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"1.{format.lower()}").write_bytes(
        encoded(np.ascontiguousarray(image), format, exif=exif)
    )
    found = pixels(thumbnails(tmp_path).get(f"a/1.{format.lower()}"))
    whole = ImageFolder(tmp_path, Limits()).sample(f"a/1.{format.lower()}").image
    assert max(found.shape) == SIDE
    assert (found.shape[0] > found.shape[1]) == (whole.shape[1] > whole.shape[2])
    for y, x in ((0.1, 0.1), (0.9, 0.9), (0.5, 0.5)):
        here = found[int(y * found.shape[0]), int(x * found.shape[1])]
        there = whole[:, int(y * whole.shape[1]), int(x * whole.shape[2])].int().numpy()
        assert np.abs(here - there).max() < 25


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "I;16"])
def test_other_kinds_of_images(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(picture())
    name = "a.jpg" if mode == "CMYK" else "a.png"
    converted = Image.fromarray(picture()[..., 0].astype(np.uint16) * 200) if mode == "I;16" else None
    (converted or image.convert(mode)).save(tmp_path / name)
    assert pixels(thumbnails(tmp_path).get(name)).shape == (40, 60, 3), "not made larger"


def test_one_that_has_changed_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    made = thumbnails(tmp_path)
    path.write_bytes(encoded(np.full((30, 30, 3), 10, np.uint8)))
    dark = made.get("a.png")
    assert made.get("a.png") is dark, "kept"
    path.write_bytes(encoded(np.full((30, 30, 3), 240, np.uint8)))
    os.utime(path, ns=(1, 1))
    assert pixels(made.get("a.png")).min() > 200


def test_those_that_are_kept_are_bounded(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    size = len(thumbnails(tmp_path / "photos").get("00.png"))
    made = thumbnails(tmp_path / "photos", most_bytes=int(2.5 * size))
    first, second = made.get("00.png"), made.get("01.png")
    assert made.get("00.png") is first
    made.get("02.png")
    assert made.get("00.png") is first, "it was asked for more recently than the second"
    assert made.get("01.png") is not second


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    data = encoded(picture(size=(300, 300)), "JPEG")
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "none.png").write_bytes(b"nothing")
    (tmp_path / "large.png").write_bytes(encoded(picture()))
    made = thumbnails(tmp_path)
    for name in ("half.jpg", "none.png"):
        with pytest.raises(ImageError, match=name):
            made.get(name)
    with pytest.raises(RequestError, match="more than the 100"):
        Thumbnails(ImageFolder(tmp_path, with_limits(pixels=100)), 1).get("large.png")


def test_they_are_served(client: TestClient) -> None:
    answer = client.get("/api/image/thumbnail", params={"name": "sub/06.png"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert pixels(answer.content).shape == (40, 60, 3)
    assert client.get("/api/image/thumbnail", params={"name": "../x"}).status_code == 404
    with client_of(services_for()) as without:
        assert "--images DIR" in without.get("/api/image/thumbnail?name=a").json()["detail"]
