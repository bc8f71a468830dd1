"""Where the images of predictions are."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.errors import DataError
from toolkit.inference.measured_images import MeasuredImages


def photo(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30, 3), 7, np.uint8))
    return path


def manifest(tmp_path: Path, **sources: Path) -> Path:
    lines = [
        json.dumps({"image": name, "status": "ok", "source": str(path), "size": [20, 30]})
        for name, path in sources.items()
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    return tmp_path / "predictions.json"


def test_where_infer_read_them(tmp_path: Path) -> None:
    path = photo(tmp_path / "photos" / "a.png")
    images = MeasuredImages(manifest(tmp_path, a=path, b=tmp_path / "gone.png"), None)
    images.require()
    assert (images.path("a"), images.path("b"), images.path("c")) == (path, None, None)
    assert images.read("a", (20, 30)).float().mean() == 7
    for name, said in (("b", r"gone\.png is not there, but b was"), ("c", "c is not there, but c was")):
        with pytest.raises(DataError, match=f"{said} predicted. Hint: name the folder"):
            images.read(name, (20, 30))


def test_in_a_folder(tmp_path: Path) -> None:
    path = photo(tmp_path / "photos" / "a.png")
    images = MeasuredImages(manifest(tmp_path, a=tmp_path / "gone.png"), path.parent)
    images.require()
    assert images.path("a.png") == path
    with pytest.raises(DataError, match=r"has 30 x 20 pixels now, but 31 x 20 when it was predicted"):
        images.read("a.png", (20, 31))


def test_nothing_is_known(tmp_path: Path) -> None:
    images = MeasuredImages(tmp_path / "predictions.json", None)
    assert images.path("a") is None
    with pytest.raises(DataError, match="does not say where its images are. Hint: name their folder"):
        images.require()
