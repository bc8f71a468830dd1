"""``toolkit measure``, and ``toolkit infer --measure``."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from measuring.tiff_cases import DEGREES, write_geotiff

from toolkit.cli import main
from toolkit.config import resolve
from toolkit.training.loop import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Path:
    run = tmp_path_factory.mktemp("measure") / "run"
    words = {"train": {"steps": 2, "workers": 0, "device": "cpu", "report": False}}
    train(resolve(plugin=tiny, data=tiny, overrides=words), run)
    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (24, 30, 3), np.uint8))
    return folder


def test_infer_measures(
    trained: Path, photos: Path, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["infer", str(trained), str(photos), "--plugin", tiny, "--out", str(out), "--device", "cpu"]
    assert main([*words, "--no-overlays", "--measure", "--pixel-size", "0.5mm"]) == 0
    said = capsys.readouterr().out
    assert f"The tables are in {out / 'measurements'}" in said
    with (out / "measurements" / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(float(row["area_mm2"]) == float(row["area"]) / 4 for row in rows)
    by_image: dict[str, float] = {}
    for row in rows:
        by_image[row["image"]] = by_image.get(row["image"], 0) + float(row["share"])
    assert all(0 < share <= 1 + 1e-9 for share in by_image.values())
    assert main(["measure", str(out), "--images"]) == 0
    assert "area_mm2" not in (out / "measurements" / "classes.csv").read_text()


def test_a_table_of_sizes_that_lacks_a_photo_is_refused_before_anything_is_predicted(
    trained: Path, photos: Path, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes, out = tmp_path / "sizes.csv", tmp_path / "out"
    sizes.write_text("image,pixel_size\na.png,1mm\n")
    words = ["infer", str(trained), str(photos), "--plugin", tiny, "--out", str(out), "--device", "cpu"]
    words += ["--measure", "--pixel-size", str(sizes)]
    assert main(words) == 1
    assert f"{sizes} has no pixel size for 1 of 2 images: b.png" in capsys.readouterr().err
    assert not out.exists()
    sizes.write_text("image,pixel_size\na.png,1mm\nb.png,2mm\n")
    assert main(words) == 0
    assert "pixel sizes: 2 different ones (sizes.csv)" in capsys.readouterr().out


def test_a_map_without_lengths_is_said(
    trained: Path, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = write_geotiff(tmp_path / "a.tif", keys=DEGREES), tmp_path / "out"
    words = ["infer", str(trained), str(photo), "--plugin", tiny, "--out", str(out), "--device", "cpu"]
    assert main([*words, "--measure", "--geojson"]) == 0
    assert (out / "measurements" / "geojson" / "a.tif.geojson").is_file()
    said = " ".join(capsys.readouterr().err.split())
    assert "a.tif has coordinates in degrees (EPSG:4326), so its pixels have no size in meters. Hint:" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pixel-size", "1mm"], "--pixel-size has no effect without --measure"),
        (["--geojson"], "--geojson has no effect without --measure"),
        (["--measure", "--pixel-size", "1"], "has no unit"),
    ],
)
def test_wrong_sizes_are_refused_before_anything_is_predicted(
    words: list[str],
    said: str,
    trained: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["infer", str(trained), str(photos), "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
