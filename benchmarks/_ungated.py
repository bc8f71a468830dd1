"""Exports of networks with random weights, as large as the published ones: without the gate, which would need
trained ones and minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.evaluation.opening import open_run
from toolkit.evaluation.requests import DataChoice, Prompting
from toolkit.export.front import build_folder, calibration_data, in_precision, write_manifest
from toolkit.export.quantizing import quantize
from toolkit.models.building import load_model
from toolkit.models.capabilities import Exportable


def random_run(
    folder: Path,
    plugin: str,
    task: str,
    classes: tuple[str, ...],
    settings: Mapping[str, Any],
    state: Mapping[str, Tensor],
) -> Path:
    """A folder that stands for a run with these weights."""
    manifest = CheckpointManifest(
        plugin=plugin,
        task=task,
        classes=classes,
        model=settings,
        config={"data": {"name": "shapes", "options": {"size": 512}}},
        step=1,
    )
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_checkpoint(folder / "best.safetensors", tensors, manifest)
    return folder


def ungated(run: Path, folder: Path, target: Any, precision: Any) -> Path:
    """The folder that ``toolkit export`` would write, without measuring it; kept if it exists."""
    if (folder / "manifest.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    found = open_run(run, DataChoice(), Prompting())
    exportable = found.model.capability(Exportable)
    assert exportable is not None
    manifest = build_folder(found, folder, target, precision=precision)
    if precision != "fp32":
        names = frozenset(graph.name for graph in exportable.graphs() if precision in graph.reduced)
        if precision == "int8":
            exported, data = load_model(folder)[0], calibration_data(found)
            manifest = replace(manifest, graphs=quantize(manifest, exported, data, folder, names, images=16))
        write_manifest(in_precision(manifest, precision, names), folder)
    return folder
