"""Trained runs of the four families, their exports, and photos to time them with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

import toolkit
from toolkit import registry
from toolkit.data.dataset import open_dataset
from toolkit.errors import ExportError, UsageError
from toolkit.evaluation.requests import Computing
from toolkit.evaluation.runs import evaluate_run
from toolkit.runtime.engines import ComputePrecision, Target
from toolkit.types import Sample

EXPORTS: tuple[tuple[Target, ComputePrecision], ...] = (
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
    ("onnx", "fp32"),
    ("onnx", "int8"),
)


@dataclass(frozen=True)
class Recipe:
    """How the run of a family is trained, in minutes.

    Attributes:
        config: the recipe that it starts from.
        settings: what is different: networks as wide as the published ones where minutes are enough to train
            them, and small images.
        metric: what the precision may cost, by its name in reports.
        size: height and width of the photo that is timed.
        exports: the runtimes and precisions.
    """

    config: str
    settings: tuple[str, ...]
    metric: str
    size: tuple[int, int]
    exports: tuple[tuple[Target, ComputePrecision], ...] = EXPORTS


BRIEF = ("train.precision=bf16", "train.workers=0", "train.report=false")
RECIPES = {
    "unet": Recipe(
        "unet-shapes",
        (
            "model.width=64",
            "model.upsampling=transposed",
            "data.options.size=64",
            "data.options.max_shapes=3",
            "train.lr=0.001",
            "train.steps=120",
            *BRIEF,
        ),
        "mean_iou",
        (512, 512),
    ),
    "deeplabv3": Recipe(
        "deeplabv3-shapes",
        (
            "model.encoder=resnet50",
            "model.channels=256",
            "model.atrous_rates=[12,24,36]",
            "data.options.noise=0.2",
            "train.batch_size=4",
            "train.lr=0.0006",
            "train.steps=280",
            *BRIEF,
        ),
        "mean_iou",
        (512, 512),
    ),
    "maskrcnn": Recipe("maskrcnn-shapes", ("train.workers=0", "train.report=false"), "segm/AP", (800, 1066)),
    "sam2": Recipe(
        "sam2-labpics-toy",
        (
            "model.size=tiny",
            "model.image_size=256",
            "train.batch_size=4",
            "train.lr=0.0003",
            "train.warmup_steps=20",
            "train.steps=160",
            *BRIEF,
        ),
        "box/mean_iou",
        (1080, 1440),
        EXPORTS[:-1],  # on ONNX Runtime, the ranges of an encoder's values take many minutes
    ),
}

NAMES = {"openvino": "OpenVINO", "onnx": "ONNX Runtime", "torch": "torch"}


@dataclass
class Exports:
    """The exports of a run.

    Attributes:
        folders: by runtime and precision.
        refused: why there is none.
    """

    folders: dict[tuple[str, str], Path] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)


def trained(family: str, runs: Path) -> Path:
    """The run of a family in a folder, trained if it does not exist."""
    run, recipe = runs / family, RECIPES[family]
    if any(run.glob("*.safetensors")):
        return run
    settings = toolkit.resolve(
        plugin=family,
        config=recipe.config,
        data="shapes",
        overrides=list(recipe.settings),
    )
    print(f"training {family} in {run}", flush=True)
    toolkit.train(settings, run)
    return run


def exported(run: Path, out: Path, images: int = 80) -> Exports:
    """All exports of a run below a folder; those that exist are used as they are."""
    found = Exports()
    for target, precision in RECIPES[run.name].exports:
        folder = out / f"{run.name}-{target}-{precision}"
        try:
            if not folder.exists():
                print(f"exporting {folder.name}", flush=True)
                toolkit.export_run(run, folder, target=target, precision=precision, images=images)
        except (ExportError, UsageError) as error:
            print(f"refused: {error}", flush=True)
            found.refused[target, precision] = str(error)
            continue
        found.folders[target, precision] = folder
    return found


def metric(run: Path, family: str, precision: Literal["fp32", "bf16"] = "fp32") -> float:
    """The main metric of a run or an exported folder on its validation images."""
    name = RECIPES[family].metric
    reports = evaluate_run(run, None, Computing(precision=precision, accelerator="cpu")) or []
    values: dict[str, Any] = {key: value for each in reports for key, value in each.metrics.items()}
    return float(values[name])


def photo(size: tuple[int, int], pixels: int) -> Sample:
    """A mosaic of generated images, which have objects as large as in training.

    Args:
        size: height and width.
        pixels: height and width of each image.
    """
    dataset = open_dataset(registry.datasets().get("shapes"), None, "test", {"size": pixels, "max_shapes": 3})
    rows, columns = (-(-side // pixels) for side in size)
    tiles = iter(dataset[i % len(dataset)].image for i in range(rows * columns))
    lines = [torch.cat([next(tiles) for _ in range(columns)], dim=2) for _ in range(rows)]
    return Sample("photo", torch.cat(lines, dim=1)[:, : size[0], : size[1]].contiguous())
