"""The encoder out of a checkpoint of another plugin; ``tests/plugins/test_unet.py`` has published weights and
files of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.config import Settings, settings_class
from toolkit.errors import CheckpointError, ToolkitError, UsageError
from toolkit.export.weights import export_model
from toolkit.models.building import build_model
from toolkit.models.start_weights import StartWeights, take_start_weights

UNET = {"width": 4, "depth": 5}
DEEPLAB = {"channels": 8, "atrous_rates": [1, 2]}
SMALL = "tu-mobilenetv3_small_050"


def built(plugin: str, classes: Sequence[str] = "ab", **values: Any) -> tuple[Any, Settings]:
    manifest = registry.plugins().get(plugin)
    settings = settings_class(manifest).model_validate(values)
    return build_model(manifest, settings, tuple(classes)), settings


def run_of(folder: Path, plugin: str, **values: Any) -> dict[str, Tensor]:
    """A run with random weights; its tensors."""
    torch.manual_seed(3)
    model, settings = built(plugin, "xyz", **values)
    state = {
        name: torch.rand_like(value) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    about = CheckpointManifest(
        plugin, "semantic", tuple("xyz"), model=settings.model_dump(mode="json"), step=1
    )
    save_checkpoint(folder / "best.safetensors", state, about)
    return state


def start(source: Path, plugin: str, **values: Any) -> tuple[Any, StartWeights]:
    model, settings = built(plugin, **values)
    return model, take_start_weights(model, registry.plugins().get(plugin), str(source), settings)


@pytest.mark.parametrize("encoder", ["resnet18", SMALL])
@pytest.mark.parametrize("exported", [False, True])
def test_an_encoder_goes_from_one_plugin_to_another(tmp_path: Path, encoder: str, exported: bool) -> None:
    theirs = run_of(tmp_path, "unet", encoder=encoder, **UNET)
    source = tmp_path
    if exported:
        source = tmp_path / "weights.pth"
        export_model(tmp_path, source)
    model, taken = start(source, "deeplabv3", encoder=encoder, **DEEPLAB)
    assert taken.report is not None
    own = model.encoder.state_dict()
    assert all(torch.equal(own[name], theirs[f"network.encoder.{name}"]) for name in own)
    loaded = {f"network.backbone.{name}" for name in own}
    assert set(taken.report.reinitialized) == set(model.state_dict()) - loaded
    assert {name for name in loaded if not name.endswith("num_batches_tracked")} <= {*taken.report.loaded}


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"encoder": "resnet34"},
            CheckpointError,
            r"are of the plugin 'unet' with the encoder 'resnet18'; expected 'resnet34', as in this model\."
            r" Hint: model\.encoder=resnet18",
        ),
        ({"encoder": SMALL}, CheckpointError, r"with the encoder 'resnet18'; expected 'tu-mobilenetv3"),
        (
            {"encoder": "resnet18", "mean": [0.5, 0.5, 0.5]},
            UsageError,
            r"trained with mean \[0\.485, 0\.456, 0\.406\] of the images, not \[0\.5, 0\.5, 0\.5\]\. Hint:"
            r" add model\.mean=\[0\.485, 0\.456, 0\.406\]",
        ),
        ({"encoder": "resnet18", "norm": "group"}, UsageError, "with batch norm, which model.norm removes"),
    ],
)
def test_another_encoder_is_refused(
    tmp_path: Path, values: dict[str, Any], error: type[ToolkitError], message: str
) -> None:
    run_of(tmp_path, "unet", encoder="resnet18", **UNET)
    with pytest.raises(error, match=message):
        start(tmp_path, "deeplabv3", **values, **DEEPLAB)


def test_an_encoder_without_its_deepest_part_is_refused(tmp_path: Path) -> None:
    run_of(tmp_path, "unet", encoder="resnet18", **UNET | {"depth": 4})
    with pytest.raises(CheckpointError, match=r"its 120 tensors are missing .* Hint: set model\.… as it was"):
        start(tmp_path, "deeplabv3", encoder="resnet18", **DEEPLAB)


def test_a_shallower_model_takes_what_it_has_of_the_encoder(tmp_path: Path) -> None:
    theirs = run_of(tmp_path, "deeplabv3", encoder=SMALL, **DEEPLAB)
    model, taken = start(tmp_path, "unet", encoder=SMALL, **UNET | {"depth": 3})
    assert taken.report is not None
    own = model.encoder.state_dict()
    assert 0 < len(own) < len([name for name in theirs if name.startswith("network.backbone.")])
    assert all(torch.equal(own[name], theirs[f"network.backbone.{name}"]) for name in own)


def test_a_file_that_lacks_a_part_of_the_encoder_says_so(tmp_path: Path) -> None:
    torch.manual_seed(4)
    published = timm.create_model(SMALL.removeprefix("tu-"), pretrained=False).state_dict()
    lacking = {key: value for key, value in published.items() if not key.startswith("blocks.1.")}
    save_file(lacking, tmp_path / "weights.safetensors")
    model, taken = start(tmp_path / "weights.safetensors", "unet", encoder=SMALL, **UNET)
    assert taken.report is not None
    own = {f"network.encoder.{name}" for name in model.encoder.state_dict() if not name.endswith("tracked")}
    # what timm fills with ones and zeros is also elsewhere in the file, and so is not missed
    convolutions = {name for name in own if "blocks.1." in name and "conv" in name}
    assert convolutions
    assert convolutions <= {*taken.report.missing} <= {name for name in own if "blocks.1." in name}
    assert not convolutions & {*taken.report.loaded}
    assert {name for name in own if "blocks.1." not in name} <= {*taken.report.loaded}
    kept = model.encoder.state_dict()["model.blocks.0.0.conv_dw.weight"]
    assert torch.equal(kept, published["blocks.0.0.conv_dw.weight"])


def test_a_plugin_that_takes_no_encoders_refuses_as_before(tmp_path: Path) -> None:
    run_of(tmp_path, "unet", encoder="resnet18", **UNET)
    with pytest.raises(CheckpointError, match="is a checkpoint of the plugin 'unet', not of 'maskrcnn'"):
        start(tmp_path, "maskrcnn", engine="torchvision", backbone={"depth": 18, "freeze_at": 0})
