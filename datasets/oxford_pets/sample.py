"""Synthetic data in the layout of the Oxford-IIIT Pet dataset, with a disc for each pet, for demos and
tests."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from toolkit.data.generated import generate
from toolkit.data.label_maps import write_label_map
from toolkit.errors import OutputError
from toolkit.runtime.files import atomic_write
from toolkit.visualization.drawing import write_picture

from .reader import BACKGROUND, BORDER, BREEDS, PET

_PALETTE = ((0, 0, 0), (255, 255, 255), (0, 0, 0), (128, 128, 128))
_SIZE = (90, 120)


def write_sample(folder: str | Path, *, photos: int = 2) -> int:
    """Draw photos and write them as ``images/`` and ``annotations/``.

    Args:
        folder: output folder; created if missing.
        photos: number of photos per breed, in both trainval and test.

    Returns:
        The number of photos written.

    Raises:
        OutputError: when ``annotations/`` already exists, or a file cannot be written.
    """
    root = Path(folder)
    if (root / "annotations").exists():
        raise OutputError(
            f"{root / 'annotations'} already exists. Hint: choose another folder, or delete it first"
        )
    for seed, split in enumerate(("trainval", "test")):
        names = [
            (number, f"{breed}_{1 + seed * photos + i}")
            for number, breed in enumerate(BREEDS, start=1)
            for i in range(photos)
        ]
        samples = generate(("background", "pet"), [_SIZE] * len(names), objects=1, seed=seed)
        for (_, name), sample in zip(names, samples, strict=True):
            assert sample.label_map is not None  # they are generated with one
            pet = (sample.label_map == 1).float()[None, None]
            wide, narrow = F.max_pool2d(pet, 5, 1, 2)[0, 0], 1 - F.max_pool2d(1 - pet, 5, 1, 2)[0, 0]
            trimap = torch.where(narrow > 0, PET, torch.where(wide > 0, BORDER, BACKGROUND)).to(torch.uint8)
            write_picture(root / "images" / f"{name}.jpg", sample.image.permute(1, 2, 0).numpy())
            write_label_map(root / "annotations" / "trimaps" / f"{name}.png", trimap, _PALETTE)
        lines = [f"{name} {number} {1 if name[0].isupper() else 2} 1\n" for number, name in names]
        with atomic_write(root / "annotations" / f"{split}.txt", "w") as file:
            file.writelines(lines)
    return 2 * photos * len(BREEDS)
