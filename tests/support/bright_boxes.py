"""A dataset with bright boxes and a promptable plugin that answers a box with its pixels, for the tests of
what measures answers to prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolkit import Dataset, DatasetManifest, Instances, Masks, PluginManifest, Prompts, Sample, Settings
from toolkit.models.promptable import PromptableModel

PLUGIN = PluginManifest(
    name="answers",
    summary="answers a box with its pixels, for tests",
    task="promptable",
    build=":build",
    evaluators=("objects",),
)
DATASET = DatasetManifest(
    name="bright",
    summary="a bright box on a dark ground, for tests",
    build=":open_bright",
    tasks=("instance", "promptable"),
    splits=("train", "val"),
    needs_folder=False,
)
SIZE = (24, 32)


class Answers(PromptableModel):
    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.unused = nn.Parameter(torch.zeros(1))

    def encode(self, samples: Sequence[Sample]) -> list[Any]:
        return [sample.size for sample in samples]

    def answer(self, encoded: Any, prompts: Prompts) -> Instances:
        boxes = prompts.boxes_xyxy
        if boxes is None:
            assert prompts.points_xy is not None
            boxes = torch.cat([prompts.points_xy[:, 0], prompts.points_xy[:, 0] + 1], dim=1)
        dense = torch.zeros((len(boxes), *encoded), dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(dense, boxes.int().tolist(), strict=True):
            mask[y0:y1, x0:x1] = True
        labels = torch.zeros(len(boxes), dtype=torch.int64) if prompts.labels is None else prompts.labels
        masks = Masks.from_dense(dense.numpy())
        return Instances(encoded, boxes, labels, masks, torch.full((len(boxes),), 0.9))

    def find_all(self, encoded: Any) -> Instances:
        return Instances.empty(encoded, with_masks=True, with_scores=True)

    def loss(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        raise NotImplementedError


def build(settings: Settings, classes: Sequence[str]) -> Answers:
    return Answers(classes)


class Bright(Dataset):
    classes = ("box",)

    def __init__(self, split: str) -> None:
        self.ids = [f"{split}-{i}" for i in range(4)]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(sum(map(ord, self.ids[index])))
        image = torch.randint(0, 60, (3, *SIZE), generator=generator, dtype=torch.uint8)
        x, y = 3 + 2 * index, 2 + index
        dense = torch.zeros((1, *SIZE), dtype=torch.bool)
        dense[0, y : y + 10, x : x + 12] = True
        image[:, dense[0]] += 150
        masks = Masks.from_dense(dense.numpy())
        truth = Instances(SIZE, masks.boxes_xyxy(), torch.zeros(1, dtype=torch.int64), masks)
        return Sample(self.ids[index], image, instances=truth)


def open_bright(folder: Path | None, split: str, settings: Settings) -> Bright:
    return Bright(split)
