"""Synthetic data in the layout of PASCAL VOC, with discs and boxes as objects, for demos and tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from toolkit.data.generated import generate
from toolkit.data.label_maps import write_label_map
from toolkit.errors import OutputError
from toolkit.formats.label_images import id_map_from_instances
from toolkit.runtime.files import atomic_write
from toolkit.types import Sample
from toolkit.visualization.drawing import write_picture
from toolkit.visualization.palettes import default_palette

from .reader import BACKGROUND, OBJECTS

_PALETTE = default_palette(256)
_SIZE = (90, 120)
_OBJECTS = 4


def write_sample(folder: str | Path, *, counts: Mapping[str, int] | None = None) -> int:
    """Draw photos and write them as ``VOCdevkit/VOC2012/``.

    Args:
        folder: output folder; created if missing.
        counts: number of photos per split.

    Returns:
        The number of photos written.

    Raises:
        OutputError: when ``VOCdevkit/VOC2012/`` already exists, or a file cannot be written.
    """
    root = Path(folder) / "VOCdevkit" / "VOC2012"
    if root.exists():
        raise OutputError(f"{root} already exists. Hint: choose another folder, or delete it first")
    counts = counts or {"train": 24, "val": 8}
    lists: dict[str, list[str]] = {}
    for seed, (split, count) in enumerate(counts.items()):
        samples = generate((BACKGROUND, *OBJECTS), [_SIZE] * count, objects=_OBJECTS, seed=seed)
        lists[split] = [f"20{7 + seed:02d}_{index:06d}" for index in range(count)]
        for index, (name, sample) in enumerate(zip(lists[split], samples, strict=True)):
            _write(root, name, sample, first=_OBJECTS * index)
    lists["trainval"] = sorted(name for names in lists.values() for name in names)
    for split, names in lists.items():
        path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        with atomic_write(path, "w") as file:
            file.writelines(f"{name}\n" for name in names)
    return sum(counts.values())


def _write(root: Path, name: str, sample: Sample, first: int) -> None:
    """Write a photo whose first object has class ``first``, so that all classes occur."""
    assert sample.label_map is not None  # it is generated with both
    assert sample.instances is not None
    labels = sample.label_map.int()
    labels = torch.where(labels > 0, (labels - 1 + first) % len(OBJECTS) + 1, 0)
    ids = id_map_from_instances(sample.instances)
    border = _border(ids)
    write_picture(root / "JPEGImages" / f"{name}.jpg", sample.image.permute(1, 2, 0).numpy())
    for kind, values in (("SegmentationClass", labels), ("SegmentationObject", ids)):
        write_label_map(
            root / kind / f"{name}.png", torch.where(border, 255, values).to(torch.uint8), _PALETTE
        )


def _border(ids: Tensor) -> Tensor:
    """Where a neighboring pixel belongs to another object, bool ``[H, W]``."""
    border = torch.zeros_like(ids, dtype=torch.bool)
    border[1:] |= ids[1:] != ids[:-1]
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    return border
