"""What a model starts from when the choice is left to the toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import toolkit
from toolkit import Model, PluginManifest, Prediction, Sample
from toolkit.checkpoints import CheckpointManifest, LoadReport, save_checkpoint
from toolkit.config import Scale
from toolkit.errors import CheckpointError, DownloadError, ToolkitError, UsageError
from toolkit.models.start_weights import RANDOM, take_start_weights
from toolkit.registry.manifests import Weights


class Net(Model):
    def __init__(self) -> None:
        super().__init__(("a",))
        self.layer = nn.Linear(1, 1)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return []


def plugin(
    monkeypatch: pytest.MonkeyPatch, error: ToolkitError | None = None
) -> tuple[PluginManifest, list[str]]:
    """A plugin with two kinds of weights, and the names that were asked for."""
    asked: list[str] = []

    def load(model: Model, name: str) -> LoadReport:
        asked.append(name)
        if error is not None:
            raise error
        return LoadReport(loaded=("layer.weight",))

    def resolve(self: PluginManifest, reference: str) -> Any:
        return load

    monkeypatch.setattr(PluginManifest, "resolve", resolve)
    weights = (Weights("imagenet", "BSD", "there"), Weights("coco", "CC", "there"))
    manifest = PluginManifest(
        name="net", summary="s", task="semantic", build=":b", weights=weights, load_weights=":load"
    )
    return manifest, asked


def test_the_first_official_weights_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, asked = plugin(monkeypatch)
    start = take_start_weights(Net(), manifest, "auto")
    assert (start.name, start.license, asked) == ("imagenet", "BSD", ["imagenet"])


@pytest.mark.parametrize("kind", [DownloadError, UsageError, CheckpointError])
def test_where_they_cannot_be_had_the_weights_are_random_and_the_reason_is_known(
    kind: type[ToolkitError], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, _ = plugin(monkeypatch, kind("nobody answers. Hint: weights=none\nand more"))
    start = take_start_weights(Net(), manifest, "auto")
    assert (start.name, start.report) == ("none", None)
    assert start.reason == "weights=imagenet are not available: nobody answers"
    with pytest.raises(kind):
        take_start_weights(Net(), manifest, "imagenet")


def test_a_plugin_without_official_weights_starts_at_random() -> None:
    manifest = PluginManifest(name="net", summary="s", task="semantic", build=":b")
    assert take_start_weights(Net(), manifest, "auto") is RANDOM


def test_a_run_says_in_its_settings_what_was_taken(
    tiny: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = [
        "train.steps=1",
        "train.device=cpu",
        "weights=auto",
        "train.steps=null",
        "train.batch_size=4000",
    ]
    settings = toolkit.resolve(plugin=tiny, data=tiny, overrides=few)
    with caplog.at_level("INFO", logger="toolkit"):
        toolkit.train(settings, tmp_path / "run")
    saved = toolkit.resolve(config=tmp_path / "run" / "config.yaml")
    assert (saved.weights, saved.train.steps) == ("none", 1)
    assert "Starts from random weights" in caplog.messages
    assert "1 step of 4,000 images: 333 epochs" in caplog.messages
    before = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["model"]
    assert toolkit.train(settings, tmp_path / "run", resume=True).finished
    after = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["model"]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_scale_of_a_run_is_known_with_its_weights(tmp_path: Path) -> None:
    scale = {"percentiles": [1, 99], "bit_depth": "16-bit"}
    net, own = Net(), PluginManifest(name="net", summary="s", task="semantic", build=":b")
    for name, config in (("with", {"data": {"options": {"scale": scale}}}), ("without", {})):
        manifest = CheckpointManifest("net", "semantic", ("a",), config=config)
        save_checkpoint(tmp_path / f"{name}.safetensors", net.state_dict(), manifest)
        found = take_start_weights(Net(), own, str(tmp_path / f"{name}.safetensors")).scale
        assert found == (Scale.model_validate(scale) if config else None)
