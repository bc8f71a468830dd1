"""A short training of each family, as the tests on a GPU run it: in this process, in another, or in two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.small_settings import MODELS
from torch import Tensor

from toolkit import registry
from toolkit.config import RunSettings, resolve

TINY = str(Path(__file__).with_name("tiny.py"))
CHILD = Path(__file__).with_name("gpu_child.py")
SHAPES = {"size": 64, "train": 12, "val": 4}

ON_BOTH = (
    pytest.param("cpu", id="cpu", marks=pytest.mark.slow),
    pytest.param("cuda", id="cuda", marks=pytest.mark.gpu),
)
"""The devices of a test that is quick on a CPU as well."""


@dataclass(frozen=True)
class Family:
    """A plugin with small settings, and data to train it on.

    Attributes:
        plugin, data: names, or the path of a file.
        model: the plugin's settings, nested.
        options: the dataset's settings.
        lr: a learning rate for AdamW at which the loss falls within ``STEPS``.
    """

    plugin: str
    data: str
    model: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 0.003


FAMILIES = {
    "tiny": Family(TINY, TINY, {"width": 8}, lr=0.01),
    "unet": Family("unet", "shapes", MODELS["unet"].settings, SHAPES, lr=0.01),
    "deeplabv3": Family("deeplabv3", "shapes", MODELS["deeplabv3"].settings, SHAPES),
    "deeplabv3plus": Family("deeplabv3plus", "shapes", MODELS["deeplabv3plus"].settings, SHAPES),
    "maskrcnn": Family("maskrcnn", "shapes", MODELS["maskrcnn"].settings, SHAPES),
    "classifier": Family("classifier", "image-folder", MODELS["classifier"].settings, lr=0.01),
    "sam2": Family("sam2", "labpics", {**MODELS["sam2"].settings, "corrections": 0}, lr=0.001),
}
STEPS = 40
"""Steps in which the loss falls, also where fp16 skips the first few of them."""


def skip_without_packages(plugin: str) -> None:
    """Skip the test where the plugin's packages are not installed."""
    if missing := registry.named(registry.plugins(), plugin, by_user=True).missing_requirements():
        pytest.skip(f"needs {', '.join(missing)}")


@cache
def _drawn(name: str, parent: Path) -> Path:
    """The stand-in that a dataset of files draws of itself."""
    folder = parent / name
    folder.mkdir(exist_ok=True)
    manifest = registry.datasets().get(name)
    draw = manifest.resolve(manifest.sample)
    held_out = "test" if "test" in signature(draw).parameters else "val"
    draw(folder, train=8, size=64, **{held_out: 4})
    return folder


def settings_of(name: str, device: str, parent: Path, **train: Any) -> RunSettings:
    """The settings of a family's run.

    Args:
        name: a key of ``FAMILIES``.
        device: ``cpu`` or ``cuda``.
        parent: folder in which data may be drawn.
        train: of the section ``train``; ``val_split`` is that of the data.
    """
    family = FAMILIES[name]
    skip_without_packages(family.plugin)
    data: dict[str, Any] = {"options": dict(family.options)}
    if "val_split" in train:
        data["val_split"] = train.pop("val_split")
    if registry.named(registry.datasets(), family.data, by_user=True).needs_folder:
        data |= {"dir": str(_drawn(family.data, parent)), "in_memory": True}
    learning = {
        "steps": STEPS,
        "batch_size": 4,
        "optimizer": "adamw",
        "lr": family.lr,
        "schedule": "constant",
        "warmup_steps": 0,
        "log_every": 1,
        "workers": 0,
        "eval_every": 10_000,  # once, after the last step
        "eval_first": False,
        "precision": "fp32",
        "device": device,
        "seed": 1,
    }
    overrides = {"model": dict(family.model), "data": data, "weights": "none", "train": learning | train}
    return resolve(plugin=family.plugin, data=family.data, overrides=overrides)


def run_child(config: RunSettings, folder: Path, out: Path, *options: str) -> dict[str, Any]:
    """Train in a process of its own, with deterministic operators where there are such; see
    ``gpu_child.py`` for what comes back.
    """
    path = folder / f"{out.name}-{config.train.steps}.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS asks for it before it is deterministic
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [sys.executable, str(CHILD), str(path), str(out), *options]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def weights(run: Path) -> dict[str, Tensor]:
    """The last weights of a run, floating-point ones only, by name."""
    return {
        name: value
        for name, value in load_file(run / "last.safetensors").items()
        if value.is_floating_point()
    }


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The Euclidean distance of two sets of weights."""
    assert one.keys() == other.keys()
    parts: Sequence[Tensor] = [(one[name].double() - other[name].double()).square().sum() for name in one]
    return float(torch.stack(list(parts)).sum().sqrt())
