"""Runs that are exported, made once for all tests here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from toolkit import open_dataset, registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.evaluation.opening import OpenedRun, open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import export_run

SUPPORT = Path(__file__).resolve().parents[1] / "support"
NET, DATA = str(SUPPORT / "strided_net.py"), str(SUPPORT / "tiny.py")
CLASSES = ("ground", "square")


def register() -> None:
    """Make plugin and data known, which each test forgets."""
    registry.add_path(NET)
    registry.add_path(DATA)


def make_run(folder: Path, *, seed: int = 0, **settings: object) -> Path:
    """A run of the strided net with random weights, that predicts each class for half of the pixels."""
    register()
    plugin = registry.plugins().get("strided-net")
    torch.manual_seed(seed)
    model = plugin.resolve(plugin.build)(plugin.resolve(plugin.settings)(**settings), CLASSES)
    images = torch.stack([sample.image for sample in open_dataset(DATA, split="val")])
    with torch.no_grad():
        logits = model.eval().logits(images)
        model.network.head.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    manifest = CheckpointManifest(
        plugin="strided-net",
        task="semantic",
        classes=CLASSES,
        model=dict(settings),
        config={"data": {"name": "squares"}, "evaluators": {"iou": {}}},
        step=5,
    )
    save_checkpoint(folder / "best.safetensors", model.state_dict(), manifest)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def shrinking_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that downscales all images of the data."""
    return make_run(tmp_path_factory.mktemp("shrinking"), long_side=12)


@pytest.fixture(scope="session")
def exports(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run, exported to each target."""
    register()
    places = {target: tmp_path_factory.mktemp("exports") / target for target in ("onnx", "openvino")}
    for target, place in places.items():
        export_run(run_folder, place, target=target)  # type: ignore[arg-type]
    return places


@pytest.fixture(params=["onnx", "openvino"])
def export(request: pytest.FixtureRequest, exports: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of an exported folder, for each target."""
    register()
    return Path(shutil.copytree(exports[request.param], tmp_path / request.param))


@pytest.fixture
def onnx_export(exports: dict[str, Path], tmp_path: Path) -> Path:
    register()
    return Path(shutil.copytree(exports["onnx"], tmp_path / "exported"))


@pytest.fixture
def opened(run_folder: Path) -> OpenedRun:
    register()
    return open_run(run_folder, DataChoice(), Prompting())
