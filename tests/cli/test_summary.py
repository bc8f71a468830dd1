"""``toolkit summary`` for plugins, runs and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main
from toolkit.config import settings_class

SMALL = ["unet", "--size", "64x96", "encoder=original_padded", "model.width=4", "depth=2"]


def output_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["summary", *words]) == 0
    return capsys.readouterr().out


def json_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(output_of(capsys, *words, "--json"))
    return values


def test_a_plugin_with_settings(capsys: pytest.CaptureFixture[str]) -> None:
    summary = json_of(capsys, *SMALL, "--classes", "3")
    assert summary["model"] == "plugin unet encoder=original_padded model.width=4 depth=2 for 3 classes"
    assert summary["input_shape"] == [1, 3, 64, 96]
    assert summary["output_shape"] == [1, 3, 64, 96]
    assert summary["output_stride"] == [1, 1]
    assert summary["parameters"] == sum(
        layer["parameters"] for layer in summary["layers"] if "." not in layer["name"]
    )
    assert summary["frozen"] == 0
    # a value at a quarter of the resolution sees 32 pixels, and the way back up needs 4 of them, 4 pixels
    # apart
    assert summary["receptive_field"][0] == {"pixels": 44, "stride": 1, "at_least": False}
    assert summary["flops"] > summary["activations"] > 0


def test_the_table_shows_levels(capsys: pytest.CaptureFixture[str]) -> None:
    shallow, deep, none = (output_of(capsys, *SMALL, "--depth", depth) for depth in "130")
    assert "encoder" in shallow
    assert "Conv2d" in deep
    assert deep.count("\n") > shallow.count("\n")
    assert "ModuleList" in shallow
    assert "ModuleList" not in none
    for text in (shallow, deep, none):
        assert "G multiply-adds" in " ".join(text.split())
        assert "receptive field  44 pixels" in text


@pytest.fixture
def run(tmp_path: Path) -> Path:
    plugin = registry.plugins().get("unet")
    values = {"encoder": "original_padded", "width": 4, "depth": 1}
    model = plugin.resolve(plugin.build)(settings_class(plugin).model_validate(values), ("ground", "square"))
    manifest = CheckpointManifest("unet", "semantic", ("ground", "square"), model=values, step=7)
    save_checkpoint(tmp_path / "run" / "best.safetensors", model.state_dict(), manifest)
    return tmp_path / "run"


def test_a_run_and_its_checkpoint_file(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    of_run = json_of(capsys, str(run), "--size", "32x32")
    of_file = json_of(capsys, str(run / "best.safetensors"), "--size", "32x32")
    assert of_run.pop("model") == f"{run}: plugin unet, 2 classes, step 7"
    assert of_file.pop("model") == f"{run / 'best.safetensors'}: plugin unet, 2 classes, step 7"
    assert of_run == of_file
    assert of_run["output_shape"] == [1, 2, 32, 32]


def test_a_plugin_in_a_file(capsys: pytest.CaptureFixture[str], tiny: str) -> None:
    summary = json_of(capsys, tiny, "--classes", "2", "width=8")
    assert summary["parameters"] == 3 * 8 * 9 + 8 + 8 * 2 * 9 + 2
    assert summary["flops"] is None
    note = "this model declares neither of the capabilities Inspectable and Tileable"
    assert summary["notes"][0].startswith(note)
    assert f"note: {note}" in output_of(capsys, tiny)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unett"], "Did you mean 'unet'?"),
        (["unet", "encodr=resnet18"], "encodr: unknown key; did you mean 'model.encoder'?"),
        (["unet", "--classes", "0"], "--classes must be 1 or more, not 0"),
        (["unet", "--depth", "-1"], "--depth must be 0 or more, not -1"),
        (["unet", "--size", "0x5"], "expected height and width, such as 512x512, not '0x5'"),
        (
            ["runs/there-is-none"],
            "expected a plugin's name or file, the folder of a run, or a checkpoint file",
        ),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(["summary", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_run_brings_its_own_settings(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    for words in (["width=8"], ["--classes", "3"]):
        assert main(["summary", str(run), *words]) == 2
        assert "has its own classes and settings" in capsys.readouterr().err


def test_a_folder_that_is_no_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["summary", str(tmp_path)]) == 1
    assert "contains neither best.safetensors nor last.safetensors" in capsys.readouterr().err
