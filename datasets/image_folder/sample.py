"""Crops of the generated shapes in one folder per class, for demos and tests."""

from __future__ import annotations

from pathlib import Path

from toolkit import registry
from toolkit.data.dataset import open_dataset
from toolkit.errors import OutputError
from toolkit.types import Sample
from toolkit.visualization.drawing import write_picture

MARGIN = 0.1
"""Of the longer side of an object, around it."""

LEAST = 12
"""Pixels that the shorter side of an object has at least; less may be left of what is behind others."""


def write_sample(folder: str | Path, *, train: int = 320, val: int = 80, size: int = 128) -> int:
    """Cut the shapes of generated images out, each with some of its surroundings.

    Args:
        folder: output folder; created if missing.
        train: generated images whose shapes become the split ``train``.
        val: the same for ``val``.
        size: height and width of the generated images, in pixels.

    Returns:
        The number of crops written.

    Raises:
        OutputError: when ``train/`` already exists, or a file cannot be written.
    """
    root = Path(folder)
    if (root / "train").exists():
        raise OutputError(f"{root / 'train'} already exists. Hint: choose another folder, or delete it first")
    count = 0
    for split in ("train", "val"):
        shapes = open_dataset(
            registry.datasets().get("shapes"), None, split, {"size": size, "train": train, "val": val}
        )
        for index in range(len(shapes)):
            count += _write_crops(shapes[index], shapes.classes, root / split)
    return count


def _write_crops(sample: Sample, classes: tuple[str, ...], folder: Path) -> int:
    objects = sample.instances
    if objects is None:
        return 0
    height, width = sample.size
    count = 0
    for number, (box, label) in enumerate(
        zip(objects.boxes_xyxy.tolist(), objects.labels.tolist(), strict=True)
    ):
        x0, y0, x1, y1 = box
        if min(x1 - x0, y1 - y0) < LEAST:
            continue
        half = max(x1 - x0, y1 - y0) * (0.5 + MARGIN)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        left, up = max(0, round(x - half)), max(0, round(y - half))
        right, down = min(width, round(x + half)), min(height, round(y + half))
        crop = sample.image[:, up:down, left:right].permute(1, 2, 0).contiguous().numpy()
        write_picture(folder / classes[label] / f"{sample.id}-{number}.png", crop)
        count += 1
    return count
