"""Checkpoints: what goes in comes out; what is damaged, foreign or hostile is refused with a reason."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import toolkit
from toolkit import registry
from toolkit.checkpoints import (
    CheckpointManifest,
    LoadReport,
    exported_manifest,
    read_checkpoint,
    save_checkpoint,
)
from toolkit.errors import CheckpointError, ConfigError, OutputError, UnknownNameError
from toolkit.export.weights import export_model
from toolkit.models.building import build_model, load_model
from toolkit.models.contract import TrainableModel, total_loss
from toolkit.models.start_weights import take_start_weights
from toolkit.models.weights import load_weights, take_tensors
from toolkit.registry.code import code_hash
from toolkit.types import Prediction, Sample

CLASSES = ("ground", "square")


@pytest.fixture
def manifest(tiny: str) -> CheckpointManifest:
    registry.add_path(tiny)
    return CheckpointManifest(
        plugin="tiny",
        task="semantic",
        classes=CLASSES,
        model={"width": 3},
        palette=((0, 0, 0), (255, 0, 0)),
        step=7,
    )


def tiny_model(classes: Sequence[str] = CLASSES, width: int = 3) -> TrainableModel:
    plugin = registry.plugins().get("tiny")
    settings = plugin.resolve(plugin.settings)(width=width)
    model: TrainableModel = plugin.resolve(plugin.build)(settings, classes)
    return model


class Unlike(TrainableModel):
    """Nothing like the plugin ``tiny``."""

    def __init__(self) -> None:
        super().__init__(CLASSES)
        self.layers = nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)])

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        raise NotImplementedError

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        raise NotImplementedError


def test_save_and_load_give_equal_weights_and_manifest(manifest: CheckpointManifest, tmp_path: Path) -> None:
    model = tiny_model()
    save_checkpoint(tmp_path / "best.safetensors", model.state_dict(), manifest)
    again, read = load_model(tmp_path)
    assert read == manifest
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_tensors_that_share_memory_are_saved(tmp_path: Path, manifest: CheckpointManifest) -> None:
    weight = torch.randn(3, 3)
    save_checkpoint(tmp_path / "a.safetensors", {"a": weight, "b": weight, "c": weight.T}, manifest)
    tensors, _ = read_checkpoint(tmp_path / "a.safetensors")
    assert torch.equal(tensors["a"], weight)
    assert torch.equal(tensors["b"], weight)
    assert torch.equal(tensors["c"], weight.T)


@pytest.mark.parametrize("keep", [0, 4, 9, 200, -1])
def test_a_truncated_checkpoint_is_named_with_its_size(
    manifest: CheckpointManifest, tmp_path: Path, keep: int
) -> None:
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, tiny_model().state_dict(), manifest)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        CheckpointError,
        match=r"best\.safetensors \([\d,]+ bytes\) is truncated or not a safetensors file.*Hint",
    ):
        load_model(path)


def test_a_safetensors_file_of_others_is_no_run(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="was not written by the toolkit.*--weights"):
        load_model(tmp_path / "a.safetensors")


def test_an_unknown_plugin_in_a_checkpoint_says_how_to_name_its_file(
    manifest: CheckpointManifest, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "best.safetensors", tiny_model().state_dict(), manifest)
    registry.plugins.cache_clear()
    with pytest.raises(UnknownNameError, match="--plugin"):
        load_model(tmp_path)


def test_the_hint_names_the_file_that_brought_the_plugin(
    manifest: CheckpointManifest, tmp_path: Path, tiny: str
) -> None:
    trained = dataclasses.replace(manifest, config={"plugin": tiny})
    save_checkpoint(tmp_path / "best.safetensors", tiny_model().state_dict(), trained)
    registry.plugins.cache_clear()
    with pytest.raises(UnknownNameError) as caught:
        load_model(tmp_path)
    assert f"Hint: add --plugin {tiny} " in str(caught.value)


def test_a_plugin_that_has_changed_since_is_named_as_the_reason(tmp_path: Path, tiny: str) -> None:
    file = tmp_path / "tiny.py"
    shutil.copy(tiny, file)
    (plugin,) = (each for each in registry.add_path(file) if each.kind == "plugin")
    manifest = CheckpointManifest(
        "tiny", "semantic", CLASSES, model={"width": 3}, plugin_code=code_hash(plugin)
    )
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, tiny_model(width=5).state_dict(), manifest)
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_model(path)
    assert "has changed" not in str(caught.value), "the plugin is as it was"
    file.write_text(f"{file.read_text()}# changed\n")
    reason = f"The plugin's file {file} has changed since this was trained. Hint: "
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert reason in str(caught.value)
    with pytest.raises(ConfigError) as unknown:
        load_model(path, {"widht": 3})
    assert reason in str(unknown.value)


def test_weights_that_do_not_fit_their_own_plugin_are_refused(
    manifest: CheckpointManifest, tmp_path: Path
) -> None:
    save_checkpoint(
        tmp_path / "best.safetensors", tiny_model(width=5).state_dict(), manifest
    )  # the manifest says 3
    with pytest.raises(CheckpointError, match="does not fit the plugin 'tiny'.*do not fit"):
        load_model(tmp_path)


def test_a_head_for_other_classes_starts_anew_and_says_so(
    manifest: CheckpointManifest, tmp_path: Path
) -> None:
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, tiny_model().state_dict(), manifest)
    model = tiny_model(("a", "b", "c"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_weights(model, path, "tiny")
    assert report.loaded == ("net.0.weight", "net.0.bias")
    assert report.reinitialized == ("net.3.weight", "net.3.bias")
    assert "2 start from random values because the classes differ: net.3.weight, net.3.bias" in str(report)
    saved = load_file(path)
    assert torch.equal(model.state_dict()["net.0.weight"], saved["net.0.weight"])
    assert torch.equal(model.state_dict()["net.3.weight"], before["net.3.weight"])


def test_a_head_for_as_many_other_classes_starts_anew_where_that_is_asked_for(
    manifest: CheckpointManifest,
) -> None:
    theirs, model = tiny_model().state_dict(), tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = take_tensors(model, theirs, "their network", anew=("net.3.weight", "net.3.bias"))
    assert report == LoadReport(
        loaded=("net.0.weight", "net.0.bias"), reinitialized=("net.3.weight", "net.3.bias")
    )
    for name, value in model.state_dict().items():
        assert torch.equal(value, (before if name.startswith("net.3") else theirs)[name])
    with pytest.raises(CheckpointError, match="their network is for another model: only 0 of the 4"):
        take_tensors(model, {f"other.{name}": value for name, value in theirs.items()}, "their network")


def test_a_checkpoint_of_another_plugin_is_refused_as_start(
    manifest: CheckpointManifest, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "best.safetensors", tiny_model().state_dict(), manifest)
    with pytest.raises(CheckpointError, match="is a checkpoint of the plugin 'tiny', not of 'unet'"):
        load_weights(tiny_model(), tmp_path, "unet")


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}]
)
def test_torch_files_of_tensors_are_read(manifest: CheckpointManifest, tmp_path: Path, wrap: object) -> None:
    model = tiny_model()
    torch.save(wrap(model.state_dict()), tmp_path / "theirs.pth")  # type: ignore[operator]
    fresh = tiny_model()
    report = load_weights(fresh, tmp_path / "theirs.pth", "tiny")
    assert len(report.loaded) == 4
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in model.state_dict().items())


def test_weights_plainly_for_another_model_are_refused(manifest: CheckpointManifest, tmp_path: Path) -> None:
    torch.save(Unlike().state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match="is for another model: only 0 of the 4 tensors"):
        load_weights(tiny_model(), tmp_path / "theirs.pth", "tiny")


def test_a_full_disk_leaves_the_older_checkpoint(
    manifest: CheckpointManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, tiny_model().state_dict(), manifest)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"best\.safetensors"):
        save_checkpoint(path, tiny_model().state_dict(), manifest)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left"


def test_a_model_names_the_tensors_that_follow_its_classes(tmp_path: Path) -> None:
    """Heads with a row for the background, or four rows a class, start anew too, and only those."""

    class Detector(TrainableModel):
        class_tensors = ("score.weight",)

        def __init__(self, classes: Sequence[str]) -> None:
            super().__init__(classes)
            self.body = nn.Linear(3, 3)
            self.neck = nn.Linear(3, 2 * len(classes) + 3, bias=False)
            self.score = nn.Linear(3, len(classes) + 1, bias=False)

        def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
            raise NotImplementedError

        def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
            raise NotImplementedError

    old, new = Detector(["a", "b"]), Detector(["x"])
    file = tmp_path / "old.safetensors"
    save_file(old.state_dict(), file)
    report = load_weights(new, file, "detector")
    assert report.reinitialized == ("score.weight",)
    assert report.mismatched == ("neck.weight: [7, 3] -> [5, 3]",)
    assert report.loaded == ("body.weight", "body.bias")


@pytest.mark.parametrize("wrapper", ["module.", "model.", "_orig_mod."])
def test_names_of_a_wrapped_model_are_taken_bare(
    manifest: CheckpointManifest, tmp_path: Path, wrapper: str
) -> None:
    theirs, model = tiny_model().state_dict(), tiny_model()
    torch.save({f"{wrapper}{name}": value for name, value in theirs.items()}, tmp_path / "a.pth")
    report = load_weights(model, tmp_path / "a.pth", "tiny")
    assert set(report.loaded) == set(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    mixed = {f"{wrapper}net.0.weight": theirs["net.0.weight"], "other": theirs["net.0.bias"]}
    with pytest.raises(CheckpointError, match="is for another model"):
        take_tensors(tiny_model(), mixed, "mixed")


def test_weights_of_another_network_are_named(manifest: CheckpointManifest) -> None:
    tensors = {"image_encoder.blocks.0.a": torch.zeros(1), "mask_decoder.a": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        take_tensors(tiny_model(), tensors, "sam.pth")
    assert "its tensors are named like those of a checkpoint of SAM 1" in str(caught.value)
    assert "Hint: " in str(caught.value)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("plugin", ["unet", "deeplabv3", "deeplabv3plus", "tiny"])
def test_models_load_where_gradients_are_switched_off(
    manifest: CheckpointManifest, tmp_path: Path, plugin: str, switch: Callable[[], Any]
) -> None:
    """Some find out by a backward pass which of their parts are used. What was loaded there can be
    trained.
    """
    settings: dict[str, Any] = {
        "unet": {"encoder": "resnet18", "depth": 3, "width": 8},
        "tiny": {"width": 3},
    }.get(plugin, {"encoder": "tu-mobilenetv3_small_050", "channels": 8, "atrous_rates": [1, 2]})
    found = registry.plugins().get(plugin)
    model = build_model(found, found.resolve(found.settings)(**settings), CLASSES)
    own = dataclasses.replace(manifest, plugin=plugin, model=settings)
    save_checkpoint(tmp_path / "last.safetensors", model.state_dict(), own)
    with switch():
        loaded, _ = load_model(tmp_path)
        predictor = toolkit.load(tmp_path, device="cpu")
        image = torch.zeros((3, 40, 40), dtype=torch.uint8)
        before = predictor.predict(image).label_map
    assert not any(parameter.is_inference() for parameter in loaded.parameters())
    assert torch.equal(before, predictor.predict(image).label_map)
    assert isinstance(loaded, TrainableModel)
    sample = Sample("a", image, torch.zeros((40, 40), dtype=torch.uint8))
    total_loss(loaded.train().loss([sample, sample])).backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in loaded.parameters())


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_training_computes_gradients_wherever_it_is_called(
    tiny: str, tmp_path: Path, switch: Callable[[], Any]
) -> None:
    words = ["train.steps=2", "train.device=cpu", "train.workers=0"]
    with switch():
        result = toolkit.train(words, tmp_path / "run", plugin=tiny, data=tiny, progress=False)
    assert result.finished
    assert toolkit.train(words, tmp_path / "other", plugin=tiny, data=tiny, progress=False).finished
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("run", "other"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize(
    "new", [("square", "ground"), ("ground", "circle", "square"), ("square",), ("x", "y")]
)
def test_start_weights_follow_the_names_of_the_classes(
    manifest: CheckpointManifest, tmp_path: Path, new: tuple[str, ...]
) -> None:
    """From a run, from a checkpoint, and from what was exported from it."""
    model = tiny_model()
    save_checkpoint(tmp_path / "last.safetensors", model.state_dict(), manifest)
    export_model(tmp_path, tmp_path / "exported.pth")
    plugin = registry.plugins().get("tiny")
    settings = plugin.resolve(plugin.settings)(width=3)
    theirs = model.state_dict()
    for source in (tmp_path, tmp_path / "last.safetensors", tmp_path / "exported.pth"):
        other = tiny_model(new)
        start = {name: value.clone() for name, value in other.state_dict().items()}
        report = take_start_weights(other, plugin, str(source), settings).report
        own = other.state_dict()
        for name in ("net.3.weight", "net.3.bias"):
            for place, label in enumerate(new):
                known = label in CLASSES
                expected = theirs[name][CLASSES.index(label)] if known else start[name][place]
                assert torch.equal(own[name][place], expected), (source, label)
        assert torch.equal(own["net.0.weight"], theirs["net.0.weight"])
        assert report is not None
        assert set(report.kept_classes) == set(new) & set(CLASSES)


def test_an_exported_file_knows_whose_it_is(manifest: CheckpointManifest, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.safetensors", tiny_model().state_dict(), manifest)
    export_model(tmp_path, tmp_path / "exported.pth")
    assert exported_manifest(tmp_path / "exported.pth") == manifest
    assert exported_manifest(tmp_path / "last.safetensors") is None
    assert exported_manifest(tmp_path / "absent.pth") is None
    with pytest.raises(CheckpointError, match="is a checkpoint of the plugin 'tiny', not of 'unet'"):
        load_weights(tiny_model(), tmp_path / "exported.pth", "unet")
    for other in ("[1, 2]", '{"a": 1}', "no JSON", "\udcff"):
        (tmp_path / "exported.json").write_text(other, errors="surrogateescape")
        assert exported_manifest(tmp_path / "exported.pth") is None, "something else that is called so"
        assert len(load_weights(tiny_model(), tmp_path / "exported.pth", "tiny").loaded) == 4


def test_no_file_is_opened_more_often_than_it_is_needed(
    manifest: CheckpointManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "last.safetensors", tiny_model().state_dict(), manifest)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    opened: list[str] = []

    def counting(path: Path, **options: Any) -> Any:
        opened.append(Path(path).name)
        return safe_open(path, **options)

    monkeypatch.setattr("toolkit.checkpoints.files.safe_open", counting)
    load_model(tmp_path)
    assert opened == ["last.safetensors"]
    with pytest.raises(CheckpointError, match="was not written by the toolkit"):
        load_model(tmp_path / "other.safetensors")
    assert opened == ["last.safetensors", "other.safetensors"]
    plugin = registry.plugins().get("tiny")
    # once to learn whose it is, and once for the tensors
    opened.clear()
    assert take_start_weights(tiny_model(), plugin, str(tmp_path)).license == "unknown"
    assert len(opened) == 2
    opened.clear()
    with pytest.raises(CheckpointError):
        take_start_weights(
            tiny_model(width=5), plugin, str(tmp_path), plugin.resolve(plugin.settings)(width=5)
        )
    assert len(opened) == 2
