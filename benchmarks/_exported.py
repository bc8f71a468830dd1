"""Runs and exported folders for the benchmarks of exported models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.config import settings_class, validate
from toolkit.evaluation.opening import open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import build_folder
from toolkit.runtime.engines import Target

SHAPES = ("background", "circle", "triangle", "square", "ring", "star")


def random_run(plugin_name: str, settings: Mapping[str, Any], folder: Path) -> Path:
    """A run of a plugin with random weights and the classes of the dataset `shapes`."""
    plugin = registry.plugins().get(plugin_name)
    torch.manual_seed(0)
    chosen = validate(settings_class(plugin), dict(settings), source=plugin_name)
    model = plugin.resolve(plugin.build)(chosen, SHAPES)
    manifest = CheckpointManifest(
        plugin=plugin_name,
        task=plugin.task,
        classes=SHAPES,
        model=dict(settings),
        config={"data": {"name": "shapes"}},
    )
    save_checkpoint(folder / "best.safetensors", model.state_dict(), manifest)
    return folder


def exported(run: Path, folder: Path, target: Target) -> Path:
    """A run's graphs and program, without the gate: the benchmarks compare the answers themselves."""
    folder.mkdir(parents=True)
    build_folder(open_run(run, DataChoice(), Prompting()), folder, target)
    return folder
