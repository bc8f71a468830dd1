"""Arguments that commands share: what they take, and what they refuse."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli.options import (
    add_data_arguments,
    add_device_argument,
    add_plugin_files_argument,
    add_settings_argument,
)
from toolkit.cli.parsed import data_options, is_setting, load_plugin_files, model_settings
from toolkit.errors import CheckpointError, ConfigError, UnknownNameError, UsageError


@pytest.fixture
def run(tiny: str, tmp_path: Path) -> str:
    """A checkpoint of the plugin ``tiny``, without tensors."""
    registry.add_path(tiny)
    manifest = CheckpointManifest(plugin="tiny", task="semantic", classes=("a", "b"))
    save_checkpoint(tmp_path / "best.safetensors", {"a": torch.zeros(1)}, manifest)
    return str(tmp_path)


def test_settings_of_the_model_alone(run: str) -> None:
    assert model_settings([], run) == {}
    assert model_settings(["model.width=3", "dropout=0.5"], run) == {"width": 3, "dropout": 0.5}
    with pytest.raises(UsageError, match=r"settings of train have no effect here\. Hint: use model\."):
        model_settings(["train.steps=3", "model.width=3"], run)
    with pytest.raises(ConfigError, match="expected key=value"):
        model_settings(["width"], run)
    with pytest.raises(CheckpointError, match="no run or checkpoint"):
        model_settings(["width=3"], "nowhere")


def test_settings_of_a_dataset_alone() -> None:
    masks = registry.datasets().get("masks")
    expected = {"void": 0, "label_suffix": "_m"}
    assert data_options(["void=0", "data.options.label_suffix=_m"], masks) == expected
    assert data_options([], masks) == {}
    for word in ("data.dir=x", "lr=3"):
        with pytest.raises(ConfigError):
            data_options([word], masks)
    assert data_options(["train=2"], registry.datasets().get("shapes")) == {"train": 2}


def test_words_that_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_setting("width=3")
    assert is_setting("model.auto.points=")
    for word in ("photos", "photos/a=b.jpg", "=3", "3=x", "*.png"):
        assert not is_setting(word), word
    Path("a=b").touch()
    assert not is_setting("a=b"), "a file that is there"


def test_arguments_as_they_are_parsed() -> None:
    parser = argparse.ArgumentParser()
    add_data_arguments(parser, default="that of the run")
    add_device_argument(parser)
    add_plugin_files_argument(parser)
    add_settings_argument(parser)
    given = parser.parse_args(["--data", "voc", "--plugin", "a.py", "--plugin", "b.py", "x=1", "y.z=2"])
    assert vars(given) == {
        "data": "voc",
        "data_dir": None,
        "device": "auto",
        "plugin": ["a.py", "b.py"],
        "settings": ["x=1", "y.z=2"],
    }
    assert "default: that of the run" in parser.format_help()


def test_names_of_plugins_are_taken_and_compared_with_the_run(tiny: str, run: str) -> None:
    load_plugin_files(argparse.Namespace(plugin=["unet"]))
    load_plugin_files(argparse.Namespace(plugin=["tiny"], run=run))
    load_plugin_files(argparse.Namespace(plugin=[tiny, "unet"], run=run))
    with pytest.raises(
        UsageError, match=r"belongs to the plugin tiny, not to unet\. Hint: leave out --plugin"
    ):
        load_plugin_files(argparse.Namespace(plugin=["unet"], run=run))
    with pytest.raises(UnknownNameError, match="unknown plugin 'unett'"):
        load_plugin_files(argparse.Namespace(plugin=["unett"]))


def test_files_of_plugins_are_entered(tiny: str) -> None:
    assert "tiny" not in registry.plugins().names()
    load_plugin_files(argparse.Namespace(plugin=[tiny]))
    assert "tiny" in registry.plugins().names()
    with pytest.raises(UsageError, match=r"no plugin at .*absent\.py"):
        load_plugin_files(argparse.Namespace(plugin=["absent.py"]))
