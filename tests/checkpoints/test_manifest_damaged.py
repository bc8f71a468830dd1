"""A checkpoint is a stranger's file: whatever its manifest holds, it is read or refused with all errors."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, read_checkpoint, read_manifest, save_checkpoint
from toolkit.errors import CheckpointError
from toolkit.models.building import load_model, manifest_of_run

WHOLE = CheckpointManifest(
    plugin="tiny",
    task="semantic",
    classes=("ground", "square"),
    model={"width": 3},
    palette=((0, 0, 0), (255, 0, 0)),
    label_values={"classes": [1, 2], "void": 0},
    config={"plugin": "tiny", "data": {"name": "squares"}, "evaluators": {"iou": {}}, "train": {"steps": 3}},
    dataset={"name": "squares", "split": "train"},
    start_weights={"name": "none", "license": "none"},
    metrics={"val/mean_iou": 0.5, "val/x": None},
    step=7,
    toolkit="0.1",
    plugin_code="abc",
)


def write(folder: Path, text: str) -> Path:
    path = folder / "a.safetensors"
    save_file({"w": torch.zeros(2)}, path, {"toolkit": text})
    return path


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(WHOLE.to_json()) | fields)


def test_a_whole_manifest_is_read_back_equal(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, WHOLE.to_json())) == WHOLE
    least = CheckpointManifest(plugin="a", task="semantic", classes=())
    assert read_manifest(write(tmp_path, least.to_json())) == least


def test_fields_of_a_later_toolkit_are_left_out(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, changed(color="blue"))) == WHOLE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plugin": ["tiny"]}, r"plugin: should be a valid string, not \['tiny'\]"),
        ({"plugin": 5}, "plugin: should be a valid string, not 5"),
        ({"plugin": ""}, "plugin: "),
        ({"task": None}, "task: should be a valid string"),
        ({"classes": "cup"}, "classes: "),
        ({"classes": ["cup", 5]}, r"classes\[1\]: should be a valid string, not 5"),
        ({"classes": ["cup", None]}, r"classes\[1\]: "),
        ({"classes": {"0": "cup"}}, "classes: "),
        ({"model": None}, "model: "),
        ({"model": []}, "model: "),
        ({"palette": [1, 2]}, r"palette\[0\]: "),
        ({"palette": "red"}, "palette: "),
        ({"palette": [["255", 0, 0], [0, 0, 0]]}, r"palette\[0\]\[0\]: "),
        ({"palette": [[256, 0, 0], [0, 0, 0]]}, r"palette\[0\]\[0\]: should be less than or equal to 255"),
        ({"palette": [[0, 0], [0, 0, 0]]}, r"palette\[0\]"),
        ({"palette": [[0, 0, 0]]}, "palette: 1 colors for 2 classes"),
        ({"label_values": 5}, "label_values: "),
        ({"label_values": {"classes": [0, 999], "void": 255}}, "label_values: .*999 is out of range"),
        ({"label_values": {"classes": [0, 0], "void": 255}}, "label_values: .*stands for two"),
        ({"label_values": {"classes": "ab"}}, "label_values: label values must be a list of numbers"),
        ({"label_values": {"classes": [*range(300)]}}, "label_values: "),
        ({"label_values": {"classes": [1], "void": 0}}, "label_values: 1 values for 2 classes"),
        ({"config": []}, "config: "),
        ({"config": {"data": []}}, r"config: data: expected keys and values"),
        ({"config": {"data": {"name": 5}}}, "config: data.name: expected text, not 5"),
        ({"config": {"plugin": [1]}}, "config: plugin: expected text"),
        ({"config": {"evaluators": ["iou"]}}, "config: evaluators: expected keys and values"),
        ({"config": {"evaluators": {"iou": 5}}}, "config: evaluators.iou: expected keys and values"),
        ({"config": {"data": {"options": 5}}}, "config: data.options: expected keys and values"),
        ({"dataset": {"name": 5}}, "dataset.name: should be a valid string"),
        ({"start_weights": ["mit"]}, "start_weights: "),
        ({"metrics": {"val/x": "good"}}, "metrics.val/x: should be a valid number"),
        ({"metrics": {"val/x": math.nan}}, "metrics.val/x: should be a finite number"),
        ({"step": -1}, "step: "),
        ({"step": "7"}, "step: should be a valid integer"),
        ({"step": 10**400}, "step: "),
        ({"format": "1"}, "format: should be a valid integer"),
        ({"format": 10**30}, "written by a newer version of the toolkit"),
        ({"toolkit": 0.1}, "toolkit: should be a valid string"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, changed(**change))
    for read in (read_manifest, manifest_of_run, load_model):
        with pytest.raises(CheckpointError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "Hint: " in str(caught.value)


TEXTS = ("", "null", "5", "[]", '"x"', "{", "{}", "[" * 100_000, '{"a":' * 100_000, '{"plugin": "\\ud83d"}')


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"the manifest in .*a\.safetensors.*Hint: "):
        read_manifest(write(tmp_path, text))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_manifest(write(tmp_path, changed(plugin=5, task=5, palette=5)))
    assert [name in str(caught.value) for name in ("plugin: ", "task: ", "palette: ")] == [True] * 3


@pytest.mark.parametrize("width", [10**8, 10**9, 10**18])
def test_a_network_that_the_file_does_not_hold_is_not_built(tmp_path: Path, tiny: str, width: int) -> None:
    """A file of a kilobyte must not fill the memory."""
    registry.add_path(tiny)
    manifest = CheckpointManifest(plugin="tiny", task="semantic", classes=("a", "b"), model={"width": width})
    save_checkpoint(tmp_path / "best.safetensors", {"w": torch.zeros(2)}, manifest)
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match="the manifest in .*(describes a network of more|cannot build)"):
        load_model(tmp_path)
    assert time.perf_counter() - start < 5


def test_settings_that_a_plugin_cannot_build_from_are_the_file_s_fault(tmp_path: Path) -> None:
    """A plugin raises what it likes about settings that contradict each other."""
    plugin = tmp_path / "picky.py"
    plugin.write_text(
        "from toolkit import PluginManifest\n"
        "PLUGIN = PluginManifest(name='picky', summary='x', task='semantic', build=':build')\n"
        "def build(settings, classes):\n    raise KeyError('of its own')\n"
    )
    registry.add_path(str(plugin))
    manifest = CheckpointManifest(plugin="picky", task="semantic", classes=("a",))
    save_checkpoint(tmp_path / "best.safetensors", {"w": torch.zeros(2)}, manifest)
    with pytest.raises(CheckpointError, match="'picky' cannot build this model: KeyError: 'of its own'"):
        load_model(tmp_path)


def test_a_damaged_manifest_and_a_newer_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for text, expected in [
        ("{", "the manifest in .* is not valid JSON"),
        ('{"format": 1}', "the manifest in .* is damaged: plugin: missing; task: missing; classes: missing"),
        ("[]", "the manifest in .* is damaged: expected an object with fields"),
        ('{"format": 99}', "newer version of the toolkit"),
    ]:
        save_file({"a": torch.zeros(1)}, path, {"toolkit": text})
        with pytest.raises(CheckpointError, match=expected):
            read_checkpoint(path)
