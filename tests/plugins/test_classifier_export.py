"""A classifier on other runtimes: the same probabilities, by ``predict.py`` too."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import toolkit
from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.evaluation.requests import DataChoice
from toolkit.export.front import export_run

CLASSES = ("blue", "red")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for channel, name in ((0, "blue"), (2, "red")):
        for split in ("train", "val"):
            (folder / split / name).mkdir(parents=True)
        for i in range(3):
            image = random.integers(0, 150, (30 + 7 * i, 52 - 5 * i, 3), dtype=np.uint8)
            image[..., channel] += 100
            for split in ("train", "val"):
                cv2.imwrite(str(folder / split / name / f"{i}.png"), image)
    return folder


@pytest.mark.parametrize(("target", "fit"), [("onnx", "crop"), ("onnx", "stretch"), ("openvino", "crop")])
def test_probabilities_are_the_same(photos: Path, tmp_path: Path, target: str, fit: str) -> None:
    plugin = registry.plugins().get("classifier")
    settings = {"size": [20, 28], "fit": fit, "simple": {"channels": [4, 4], "hidden": 8}}
    torch.manual_seed(0)
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(**settings), CLASSES)
    data = {"name": "image-folder", "dir": str(photos)}
    manifest = CheckpointManifest(
        plugin="classifier", task="classification", classes=CLASSES, model=settings, config={"data": data}
    )
    save_checkpoint(tmp_path / "run" / "best.safetensors", model.state_dict(), manifest)
    choice = DataChoice(overrides={"evaluators": {"accuracy": {}}})
    exported = export_run(tmp_path / "run", tmp_path / "out", target=target, choice=choice)  # type: ignore[arg-type]
    parity = json.loads((exported.folder / "parity.json").read_text())
    assert parity["predictions"]["scores"] < 1e-5
    assert parity["program"]["scores"] < 1e-5
    assert set(parity["metrics"]) >= {"top1", "mean_f1"}
    image = torch.randint(0, 256, (3, 50, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    one, other = (
        toolkit.load(path, device="cpu").predict(image) for path in (tmp_path / "run", exported.folder)
    )
    assert one.extras["class_name"] == other.extras["class_name"]
