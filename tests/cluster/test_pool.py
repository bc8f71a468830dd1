"""The pool of the other tests keeps the promises that Ray's keeps, see test_ray_pool.py."""

from __future__ import annotations

from pathlib import Path

from cluster_cases import Bright, FakePool, check_pool
from PIL import Image

from toolkit.inference.inputs import find_images
from toolkit.inference.result_places import TOKEN


def test_the_simulated_pool_is_like_a_real_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 6), "white").save(tmp_path / "photos/a.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / TOKEN).write_text("token")
    check_pool(FakePool(Bright), out, find_images([tmp_path / "photos"]))
    assert (out / "labels/a.png").is_file()
