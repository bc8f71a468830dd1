"""A plugin package in one file that brings a task of its own: the depth of every pixel. The core has not
heard of it.

The images are planes that get darker with their distance; the evaluator's metrics are errors, so less is
better.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit import (
    Dataset,
    DatasetManifest,
    Evaluator,
    EvaluatorManifest,
    PixelMap,
    PluginManifest,
    Prediction,
    Report,
    Sample,
    Settings,
    TaskManifest,
    TrainableModel,
)
from toolkit.errors import InvalidDataError
from toolkit.runtime.files import atomic_write

TASK = TaskManifest(
    name="depth",
    summary="the distance of every pixel",
    truth=("depth",),
    predicts=("depth",),
    evaluators=("depth-error",),
    draw=":draw",
    write=":write",
    examples=":examples",
    classes=("surface",),
)
PLUGIN = PluginManifest(
    name="depth-net",
    summary="two convolutions",
    task="depth",
    build=":build",
    defaults={"train": {"steps": 240, "batch_size": 4, "lr": 0.03, "workers": 0, "eval_every": 40}},
)
DATASET = DatasetManifest(
    name="planes",
    summary="planes that get darker with their distance",
    build=":open_planes",
    tasks=("depth",),
    splits=("train", "val"),
    needs_folder=False,
    license="none needed",
)
EVALUATOR = EvaluatorManifest(
    name="depth-error",
    summary="mean absolute and root mean squared error of depth",
    build=":build_evaluator",
    measures=("depth",),
)


class DepthNet(TrainableModel):
    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))

    def depth(self, sample: Sample) -> Tensor:
        found: Tensor = self.net(sample.image[None].to(self.device) / 255)[0, 0]
        return found.float()

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [
            Prediction(s.id, s.size, extras={"depth": PixelMap(self.depth(s).detach().cpu())})
            for s in samples
        ]

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        return {"l1": torch.stack([self._loss(sample) for sample in samples]).mean()}

    def _loss(self, sample: Sample) -> Tensor:
        truth = _depth_of(sample).to(self.device)
        known = torch.isfinite(truth)
        apart = (self.depth(sample) - truth.nan_to_num()).abs() * known
        return apart.sum() / known.sum().clamp(min=1)


class DepthError(Evaluator):
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.sums = np.zeros(3)  # of absolute errors, of squared errors, of pixels

    def _update(self, sample: Sample, prediction: Prediction) -> None:
        truth, found = _depth_of(sample), prediction.extras["depth"].values
        known = torch.isfinite(truth)
        apart = (found - truth)[known].double()
        self.sums += [float(apart.abs().sum()), float(apart.square().sum()), int(known.sum())]

    def state(self) -> Any:
        return self.sums.copy()

    def merge(self, states: Sequence[Any]) -> None:
        self.sums = np.sum([np.zeros(3), *states], axis=0)

    def report(self) -> Report:
        absolute, squared, pixels = self.sums if self.sums[2] else np.full(3, np.nan)
        metrics = {"mae": float(absolute / pixels), "rmse": float(np.sqrt(squared / pixels))}
        return Report("depth-error", metrics, lower_is_better=("mae", "rmse"))


def _depth_of(sample: Sample) -> Tensor:
    found = sample.get("depth")
    if found is None:
        raise InvalidDataError(f"sample {sample.id!r} has no depth")
    values: Tensor = found.values
    return values


def examples(
    classes: Sequence[str], sizes: Sequence[tuple[int, int]], *, objects: int = 3, seed: int = 0
) -> list[Sample]:
    """Planes of these sizes; without objects they are flat."""
    return [
        _plane(f"generated-{seed}-{i}", size, 10 * seed + i, slope=objects / 3)
        for i, size in enumerate(sizes)
    ]


def _plane(name: str, size: tuple[int, int], seed: int, slope: float = 1.0) -> Sample:
    rng = np.random.default_rng([7, seed])
    rows, columns = (np.linspace(0, 1, side, dtype=np.float32) for side in size)
    a, b = rng.uniform(-1, 1, 2) * slope
    depth = 2 + a * rows[:, None] + b * columns
    image = (255 * (1 - depth / 4))[..., None] * np.array([1, 0.8, 0.6]) + rng.normal(0, 2, (*size, 3))
    if size[0] > 8:
        depth[:3, :4] = np.nan  # what the sensor did not see
    pixels = torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1).contiguous()
    return Sample(name, pixels, extras={"depth": PixelMap(torch.from_numpy(depth.astype(np.float32)))})


class Planes(Dataset):
    classes = ("surface",)

    def __init__(self, split: str) -> None:
        self.split, self.ids = split, [f"{split}/{i}" for i in range(8)]

    def __getitem__(self, index: int) -> Sample:
        return _plane(self.ids[index], (24, 32), index + 100 * (self.split == "val"))


def draw(
    picture: NDArray[np.uint8],
    labeled: Sample | Prediction,
    classes: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    letter_height: int | None,
) -> NDArray[np.uint8]:
    """Near is red, far is blue; what is not known stays as it is."""
    depth = labeled.get("depth").values.numpy()
    tint = cv2.applyColorMap((np.nan_to_num(depth) * 60).clip(0, 255).astype(np.uint8), cv2.COLORMAP_JET)
    return np.where(np.isfinite(depth)[..., None], tint, picture).astype(np.uint8)


def write(prediction: Prediction, folder: Path, stem: str, palette: object) -> dict[str, str]:
    path = f"depth/{stem}.npy"
    with atomic_write(folder / path) as file:
        np.save(file, prediction.extras["depth"].values.numpy())
    return {"depth": path}


def build(settings: Settings, classes: Sequence[str]) -> DepthNet:
    return DepthNet(classes)


def build_evaluator(settings: Settings, classes: Sequence[str]) -> DepthError:
    return DepthError()


def open_planes(folder: Path | None, split: str, settings: Settings) -> Planes:
    return Planes(split)
