"""A dataset of files with faults planted in it, each of which one check must name; without faults it passes
all.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import torch

from toolkit import Dataset, DatasetManifest, Instances, Sample, Settings
from toolkit.errors import DataError

DATASET = DatasetManifest(
    name="faulty-files",
    summary="a dataset with faults, for tests",
    build=":build",
    settings=":FaultySettings",
    tasks=("semantic", "instance"),
    splits=("train", "val"),
    layout="a file called seed",
    license="none needed",
)


class FaultySettings(Settings):
    """Which faults it has."""

    faults: tuple[str, ...] = ()
    """Names of checks, or of one of several faults that a check finds."""


class Faulty(Dataset):
    def __init__(self, folder: Path, split: str, faults: tuple[str, ...]) -> None:
        self.faults, self.split = faults, split
        self.classes = ("ground", "thing", *(["more"] if self.has("classes") and split == "val" else []))
        self.ids = [f"{split}-{name}" for name in ("a", "b", "c", "c" if self.has("ids_are_unique") else "d")]
        if self.has("hash order"):
            self.ids = list({f"{split}-{number}" for number in range(50)})
        if self.has("new each time"):
            random.SystemRandom().shuffle(self.ids)
        if self.has("not to be sent"):
            self.read = lambda index: index
        self.seed = int((folder / "seed").read_text())

    def has(self, fault: str) -> bool:
        return fault in self.faults

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index % len(self.ids) if self.has("ends_where_it_ends") else index]
        split = "train" if self.has("splits_are_disjoint") else self.split
        entropy = (
            [os.getpid()]
            if self.has("other in each process")
            else [random.SystemRandom().getrandbits(30)]
            if self.has("chance")
            else []
        )
        rng = np.random.default_rng([self.seed, split == "val", index, *entropy])
        image = torch.from_numpy(rng.integers(0, 256, (3, 8, 9), dtype=np.uint8))
        label_map = torch.full((8, 9), 2 if self.has("label beyond") else 1, dtype=torch.uint8)
        box = torch.tensor([[1.0, 1, 30 if self.has("box outside") else 4, 4]])
        labels = torch.tensor([5 if self.has("object beyond") else 1])
        instances = None if self.has("no instances") else Instances((8, 9), box, labels)
        return Sample("x" if self.has("other id") else name, image, label_map, instances)

    def image(self, index: int) -> torch.Tensor:
        return super().image(index) // (2 if self.has("another image") else 1)

    def fingerprint(self) -> str:
        return str(hash("faulty")) if self.has("hash") else super().fingerprint()


def build(folder: Path, split: str, settings: FaultySettings) -> Faulty:
    if "an_empty_folder_is_explained" not in settings.faults and not (folder / "seed").is_file():
        raise DataError(f"{folder} has no file called seed")
    return Faulty(folder, split, settings.faults)
