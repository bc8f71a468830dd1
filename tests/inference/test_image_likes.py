"""Images of any kind become samples; deep ones by the scale of the run, alike everywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import toolkit
from toolkit import Sample
from toolkit.checkpoints import CheckpointManifest
from toolkit.config import Scale
from toolkit.data.images import read_image
from toolkit.data.label_maps import read_label_map, write_label_map
from toolkit.errors import CheckpointError, InvalidDataError, UsageError
from toolkit.export.front import export_run
from toolkit.inference import giants
from toolkit.inference.image_likes import as_sample
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.predictor import same_scale

SCALE = Scale(range=(0, 1000))


def cells(seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A picture of a microscope, 12 bits in uint16, whose brightness differs, and where its cells are."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((64, 80))
    inside = np.zeros((64, 80), bool)
    for _ in range(4):
        y, x = random.uniform(10, 54), random.uniform(10, 70)
        inside |= (rows - y) ** 2 + (columns - x) ** 2 < 60
    light = random.uniform(200, 900)
    values = random.normal(light * (1 + inside), light / 20)
    return np.clip(values, 0, 4095).astype(np.uint16), inside.astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on 16-bit TIFFs, and their folder."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "data/images").mkdir(parents=True)
    for number in range(8):
        values, inside = cells(number)
        tifffile.imwrite(folder / f"data/images/{number}.tif", values)
        write_label_map(folder / f"data/labels/{number}.png", torch.from_numpy(inside), [(0, 0, 0)])
    (folder / "data/classes.txt").write_text("ground\ncell\n")
    (folder / "data/train.txt").write_text("".join(f"{number}\n" for number in range(6)))
    (folder / "data/val.txt").write_text("6\n7\n")
    settings = {
        "data.options.scale": {"percentiles": [1, 99]},
        "model": {"encoder": "original_padded", "depth": 2, "width": 4, "norm": "batch"},
        "augment": [],
        "train": {"steps": 40, "batch_size": 4, "lr": 0.02, "workers": 0, "device": "cpu"},
    }
    toolkit.train(settings, plugin="unet", data="masks", data_dir=folder / "data", out=folder / "run")
    return folder / "run", folder / "data/images"


def test_a_run_on_deep_images_predicts_by_their_scale_everywhere(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, images = trained
    photos = tmp_path / "photos"
    shutil.copytree(images, photos)
    Image.fromarray(np.zeros((64, 80), np.uint8)).save(photos / "5a.png")
    predictor = toolkit.load(run, device="cpu")
    assert predictor.scale == Scale(percentiles=(1, 99), bit_depth="16-bit")
    summary = predict_folder(predictor, photos, tmp_path / "out", progress=False)
    assert (summary.done, summary.failed) == (8, 1)
    lines = [json.loads(line) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]
    (failed,) = [line for line in lines if line["status"] == "failed"]
    assert failed["image"] == "5a.png"
    assert "has 8-bit values, but the scale percentiles 1 to 99 of each image" in failed["error"]
    for number in range(8):
        values, inside = cells(number)
        written = read_label_map(tmp_path / f"out/labels/{number}.png")
        for image in (photos / f"{number}.tif", values, Image.fromarray(values)):
            found = predictor.predict(image).label_map
            assert found is not None
            assert torch.equal(found, written)
        assert (written.numpy() == inside).mean() > 0.95
    # the same window by window, from a file with tiles
    (tmp_path / "tiles").mkdir()
    tifffile.imwrite(tmp_path / "tiles/a.tif", cells(9)[0], tile=(16, 16), compression="zlib")
    monkeypatch.setattr(giants, "GIANT_PIXELS", 1)
    tiled = toolkit.load(run, device="cpu", tiling=toolkit.inference.Tiling(64, 0.5))
    predict_folder(tiled, tmp_path / "tiles", tmp_path / "windows", progress=False)
    expected = tiled.predict(cells(9)[0]).label_map
    assert np.array_equal(tifffile.imread(tmp_path / "windows/labels/a.tif"), expected)
    # colors are measured in the pixels that the model got
    measured = toolkit.measure(tmp_path / "out", images=True)
    assert measured.images == 8


def test_an_exported_run_predicts_by_the_same_scale(trained: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run, images = trained
    exported = tmp_path / "exported"
    export_run(run, exported, target="onnx")
    names = [str(images / f"{number}.tif") for number in range(3)]
    command = [sys.executable, str(exported / "predict.py"), *names, "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    one, other = toolkit.load(run, device="cpu"), toolkit.load(exported, device="cpu")
    assert other.scale == one.scale
    for name in names:
        label_map = one.predict(name).label_map
        assert label_map is not None
        assert torch.equal(other.predict(name).label_map, label_map)
        assert torch.equal(read_label_map(tmp_path / "out" / f"{Path(name).stem}.png"), label_map)
    Image.fromarray(np.zeros((64, 80), np.uint8)).save(tmp_path / "a.png")
    command[2:-2] = [str(tmp_path / "a.png")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "a.png has 8-bit values, but the model was trained on 16-bit images" in refused.stderr


def test_two_models_of_one_image_have_one_scale() -> None:
    def manifest(scale: Scale | None) -> CheckpointManifest:
        options = {} if scale is None else {"scale": scale.model_dump(mode="json")}
        return CheckpointManifest("unet", "semantic", ("a",), config={"data": {"options": options}})

    one, other = Path("one"), Path("other")
    assert same_scale((one, manifest(SCALE)), (other, manifest(SCALE))) == SCALE
    assert same_scale((one, manifest(None))) is None
    for second in (None, Scale(percentiles=(0, 100))):
        with pytest.raises(UsageError, match="one and other were trained with different scales of pixels"):
            same_scale((one, manifest(SCALE)), (other, manifest(second)))
    damaged = CheckpointManifest("unet", "semantic", ("a",), config={"data": {"options": {"scale": 7}}})
    with pytest.raises(CheckpointError, match=r"one has a damaged data\.options\.scale"):
        same_scale((one, damaged))


def test_a_sample_is_taken_as_it_is() -> None:
    sample = Sample("a", torch.zeros((3, 4, 5), dtype=torch.uint8))
    assert as_sample(sample, "b", SCALE) is sample


def test_arrays_have_the_values_of_files(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.uint16).reshape(4, 5) * 50
    tifffile.imwrite(tmp_path / "a.tif", values)
    expected = read_image(tmp_path / "a.tif", SCALE)
    color = np.repeat(values[..., None], 3, axis=2)
    images = (tmp_path / "a.tif", values, color, values[..., None], torch.from_numpy(color).permute(2, 0, 1))
    for image in images:
        assert torch.equal(as_sample(image, "a", SCALE).image, expected)


@pytest.mark.parametrize(
    "values", [np.zeros((4, 5, 4), np.uint16), np.zeros((4,), np.uint16), np.array(["a"])]
)
def test_more_than_three_channels_are_refused(values: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InvalidDataError, match="more than three channels are not supported"):
        as_sample(values, "a", SCALE)
