"""The files of Detectron2's model zoo: how they arrive, and what is said when they do not."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.file_server import FileServer
from toolkit.plugins.maskrcnn.interop.engine import is_installed
from toolkit.plugins.maskrcnn.interop.zoo import ZOO, download_of

from toolkit import registry
from toolkit.cli import main
from toolkit.config import resolve
from toolkit.errors import CheckpointError, DownloadError
from toolkit.models.building import build_model
from toolkit.models.contract import Model
from toolkit.models.start_weights import take_start_weights
from toolkit.registry.manifests import Download, PluginManifest
from toolkit.runtime import downloads

pytestmark = [pytest.mark.filterwarnings("ignore")] if is_installed() else []  # of what Detectron2 imports

SMALL: dict[str, Any] = {
    "engine": "torchvision",
    "backbone": {"stem_out_channels": 8, "res2_out_channels": 16, "width_per_group": 8},
    "fpn": {"out_channels": 16},
    "box_head": {"fc_dim": 16},
    "mask_head": {"num_conv": 1, "conv_dim": 16},
}
NAME, FILE = "coco-r50-3x", "model_final_f10217.pkl"


@pytest.fixture(autouse=True)
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are kept."""
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    return tmp_path / "weights"


def small_model(seed: int = 0) -> Model:
    settings = resolve(plugin="maskrcnn", data="labelme", overrides={"model": SMALL})
    torch.manual_seed(seed)
    return build_model(registry.plugins().get("maskrcnn"), settings.model, ("circle", "square"))


def zoo_file() -> tuple[bytes, dict[str, torch.Tensor]]:
    """A file as the zoo has them, for the small model, and its tensors."""
    state = dict(small_model(seed=1).state_dict())
    arrays = {name: value.numpy() for name, value in state.items()}
    return pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}, 2), state


def served(server: FileServer, body: bytes, digits: str) -> PluginManifest:
    """The plugin with the file of ``coco-r50-3x`` on this machine."""
    server.behavior.files[f"/{FILE}"] = body
    plugin = registry.plugins().get("maskrcnn")
    weights = [
        replace(
            one,
            download=replace(
                one.download, url=f"{server.root}/{FILE}", checksum=f"md5:{digits}" if digits else ""
            ),
        )
        if one.name == NAME and one.download
        else one
        for one in plugin.weights
    ]
    return replace(plugin, weights=tuple(weights))


@pytest.mark.parametrize("digits", [6, 0])
def test_weights_arrive_by_themselves(file_server: FileServer, weights_folder: Path, digits: int) -> None:
    body, state = zoo_file()
    plugin = served(file_server, body, hashlib.md5(body).hexdigest()[:digits])
    for _ in range(2):
        model = small_model()
        start = take_start_weights(model, plugin, NAME)
        assert start.license == "CC-BY-SA-3.0"
        assert start.report is not None
        own = model.state_dict()
        assert set(start.report.loaded) == set(state)
        assert all(torch.equal(own[name], state[name]) for name in start.report.loaded)
    assert file_server.behavior.paths == [f"/{FILE}"], "the second run finds them"
    kept = [f"{FILE}.sha256"] if not digits else []
    assert sorted(path.name for path in weights_folder.iterdir()) == [FILE, *kept]


def balloons(server: FileServer) -> None:
    """Serve a small set of balloons, and make it the one that the registry has."""
    content = io.BytesIO()
    shape = {"name": "polygon", "all_points_x": [4, 40, 20], "all_points_y": [4, 8, 30]}
    entry = {
        "filename": "a.jpg",
        "size": 1,
        "regions": [{"shape_attributes": shape, "region_attributes": {}}],
    }
    with zipfile.ZipFile(content, "w") as bundle:
        for split in ("train", "val"):
            bundle.writestr(f"balloon/{split}/via_region_data.json", json.dumps({"a": entry}))
            image = np.full((48, 64, 3), 90, np.uint8)
            bundle.writestr(f"balloon/{split}/a.jpg", cv2.imencode(".jpg", image)[1].tobytes())
    server.behavior.files["/balloon.zip"] = content.getvalue()
    dataset = registry.datasets().get("balloon")
    registry.datasets().add(replace(dataset, downloads=(Download(f"{server.root}/balloon.zip"),)))


def test_two_commands_from_nothing_to_a_trained_model(
    file_server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Detectron2's balloon tutorial, by its recipe, on a small network."""
    monkeypatch.chdir(tmp_path)
    balloons(file_server)
    body, _ = zoo_file()
    registry.plugins().add(served(file_server, body, hashlib.md5(body).hexdigest()[:6]))
    small = [
        *("model.engine=torchvision", "model.backbone.stem_out_channels=8", "model.fpn.out_channels=16"),
        *("model.backbone.res2_out_channels=16", "model.backbone.width_per_group=8"),
        *("model.box_head.fc_dim=16", "model.mask_head.num_conv=1", "model.mask_head.conv_dim=16"),
        *("model.input.short_side_train=[64]", "model.input.short_side_test=64"),
        *("train.steps=1", "train.warmup_steps=0", "train.workers=0"),
    ]
    train = ["train", "--plugin", "maskrcnn", "--data", "balloon", *small]
    assert main(train) == 1
    message = capsys.readouterr().err
    command = message.partition("Hint: toolkit ")[2].partition(", or")[0]
    assert main(command.split()) == 0
    assert main(train) == 0
    assert file_server.behavior.paths == ["/balloon.zip", f"/{FILE}"]
    assert (tmp_path / "runs" / "maskrcnn-balloon" / "best.safetensors").is_file()


def test_another_file_than_its_name_says(file_server: FileServer, weights_folder: Path) -> None:
    body, _ = zoo_file()
    plugin = served(file_server, body, "000000")
    with pytest.raises(DownloadError, match="instead of one that begins with 000000"):
        take_start_weights(small_model(), plugin, NAME)
    assert not weights_folder.exists(), "nothing that could pass for the weights"


class _Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_what_arrives_is_not_executed(
    file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = served(file_server, pickle.dumps({"model": _Harm()}), "")
    with pytest.raises(CheckpointError):
        take_start_weights(small_model(), plugin, NAME)
    assert not Path("executed").exists()


def test_offline_it_says_what_to_put_where(weights_folder: Path, no_proxy: None) -> None:
    plugin = registry.plugins().get("maskrcnn")
    weights = tuple(
        replace(one, download=replace(one.download, url=f"http://127.0.0.1:9/{FILE}"))
        for one in plugin.weights
        if one.name == NAME and one.download
    )
    with pytest.raises(DownloadError) as caught:
        take_start_weights(small_model(), replace(plugin, weights=weights), NAME)
    for said in (
        "no connection",
        f"http://127.0.0.1:9/{FILE}",
        f"put it at {weights_folder / FILE}",
        "md5 f10217…",
        "weights=FILE",
        "weights=none",
        "model.backbone.norm=GN",
    ):
        assert said in str(caught.value)


def test_every_name_of_the_zoo_has_an_address_and_the_checksum_that_is_published() -> None:
    weights = {one.name: one for one in registry.plugins().get("maskrcnn").weights}
    assert set(weights) == set(ZOO)
    files = set()
    for name, one in weights.items():
        assert one.download is not None
        assert one.download.url == ZOO[name]
        assert (one.download.published is None) == name.startswith("imagenet"), name
        files.add(one.download.name)
    assert len(files) == len(ZOO), "they share a folder"
    assert download_of(ZOO[NAME]).published == ("md5", "f10217")
