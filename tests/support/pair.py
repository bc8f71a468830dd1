"""A dataset of flat cards on sky and sand, a semantic and an instance plugin that know things by their
colors, and runs of both: a pair without training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from toolkit import (
    Dataset,
    DatasetManifest,
    Instances,
    Masks,
    Model,
    PanopticMap,
    PluginManifest,
    Prediction,
    Sample,
    Segment,
    Settings,
)
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.data.segments import ThingClasses

CLASSES = ("sky", "sand", "cup", "box")
COLORS = ((90, 140, 250), (230, 210, 120), (220, 30, 30), (30, 160, 60))
PALETTE = ((0, 0, 255), (255, 255, 0), (255, 0, 0), (0, 255, 0))
SIZE = (48, 64)

PLUGIN = (
    PluginManifest(name="color-map", summary="classes by color", task="semantic", build=":build_map"),
    PluginManifest(name="color-objects", summary="objects by color", task="instance", build=":build_objects"),
)
DATASET = DatasetManifest(
    name="cards",
    summary="flat cards on sky and sand",
    build=":open_cards",
    tasks=("panoptic", "semantic", "instance"),
    splits=("train", "val"),
    needs_folder=False,
    license="none needed",
)


class Cards(Dataset, ThingClasses):
    """One split of six images."""

    classes, thing_classes, palette = CLASSES, ("cup", "box"), PALETTE

    def __init__(self, split: str) -> None:
        self.ids, self._seed = [f"{split}-{i}" for i in range(6)], 10 * (split == "val")

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self._seed, range(len(self.ids))[index]])
        numbers = np.ones(SIZE, np.int32)
        numbers[int(rng.integers(20, 40)) :] = 2
        segments = [Segment(0, False), Segment(1, False)]
        for _ in range(int(rng.integers(0, 5))):
            y, x = rng.integers(0, 40), rng.integers(0, 54)
            segments.append(Segment(int(rng.integers(2, 4)), True))
            numbers[y : y + rng.integers(3, 16), x : x + rng.integers(3, 20)] = len(segments)
        panoptic = PanopticMap.compacted(torch.from_numpy(numbers), segments)
        label_map = panoptic.label_map()
        image = torch.tensor(COLORS, dtype=torch.uint8)[label_map.long()].permute(2, 0, 1).contiguous()
        extras = {"panoptic": panoptic}
        return Sample(self.ids[index], image, label_map, panoptic.things(), extras=extras)


def open_cards(folder: Path | None, split: str, settings: Settings) -> Cards:
    return Cards(split)


class ColorMap(Model):
    """The class of the nearest color."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.colors = nn.Parameter(torch.tensor(COLORS, dtype=torch.float32))

    def label_map(self, image: Tensor) -> Tensor:
        apart = image.permute(1, 2, 0)[:, :, None].float() - self.colors
        return apart.square().sum(-1).argmin(-1).to(torch.uint8)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(sample.id, sample.size, self.label_map(sample.image)) for sample in samples]


class ColorObjects(ColorMap):
    """Regions of one color as objects, with scores by their sizes; those that touch become one."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [Prediction(s.id, s.size, instances=self._objects(s.image)) for s in samples]

    def _objects(self, image: Tensor) -> Instances:
        label_map = self.label_map(image).numpy()
        dense, labels = [], []
        for label, name in enumerate(self.classes):
            count, regions = cv2.connectedComponents((label_map == CLASSES.index(name)).astype(np.uint8))
            dense += [regions == number for number in range(1, count)]
            labels += [label] * (count - 1)
        size = (int(image.shape[1]), int(image.shape[2]))
        masks = Masks.from_dense(np.stack(dense)) if dense else Masks(size)
        scores = (masks.areas().float() / 40).clamp(0.1, 1)
        return Instances(size, masks.boxes_xyxy(), torch.tensor(labels, dtype=torch.int64), masks, scores)


def build_map(settings: Settings, classes: Sequence[str]) -> ColorMap:
    return ColorMap(classes)


def build_objects(settings: Settings, classes: Sequence[str]) -> ColorObjects:
    return ColorObjects(classes)


def write_runs(folder: Path) -> tuple[Path, Path]:
    """A semantic and an instance run."""
    runs = []
    for plugin, task, classes in (
        ("color-map", "semantic", CLASSES),
        ("color-objects", "instance", CLASSES[2:]),
    ):
        config = {"data": {"name": "cards"}, "plugin": plugin}
        palette = tuple(PALETTE[CLASSES.index(name)] for name in classes)
        manifest = CheckpointManifest(plugin, task, classes, palette=palette, config=config)
        run = folder / plugin
        run.mkdir(parents=True)
        save_checkpoint(run / "best.safetensors", ColorMap(classes).state_dict(), manifest)
        runs.append(run)
    return runs[0], runs[1]


def write_photos(folder: Path) -> Path:
    """The images of the split val as files."""
    folder.mkdir(parents=True)
    for sample in (Cards("val")[i] for i in range(6)):
        pixels = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()[..., ::-1])
        cv2.imwrite(str(folder / f"{sample.id}.png"), pixels)
    return folder
