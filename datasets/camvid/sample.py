"""Synthetic data in the layout of CamVid, with discs and boxes and CamVid's frame names, for demos and
tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolkit.data.generated import generate
from toolkit.errors import OutputError
from toolkit.visualization.drawing import write_picture

from .labels import COLORS, GROUPS
from .reader import IMAGES, LABELS

FRAMES = {"train": "0006R0_f{:05d}", "val": "0016E5_{:05d}", "test": "Seq05VD_f{:05d}"}
"""Patterns of frame names; the first frame is number 930 of 0006R0, 7959 of 0016E5, and 0 of Seq05VD."""

_FIRST = {"train": (930, 30), "val": (7959, 2), "test": (0, 30)}
_SIZE = (90, 120)


def write_sample(folder: str | Path, *, counts: Mapping[str, int] | None = None) -> int:
    """Draw frames and write them as ``701_StillsRaw_full/`` and ``LabeledApproved_full/``.

    Args:
        folder: output folder; created if missing.
        counts: number of frames per split; at most 101 each.

    Returns:
        The number of frames written.

    Raises:
        OutputError: when frames already exist, or a file cannot be written.
    """
    root = Path(folder)
    if (root / IMAGES).exists() or (root / LABELS).exists():
        raise OutputError(
            f"{root} already contains frames. Hint: choose another folder, or delete them first"
        )
    counts = counts or {"train": 24, "val": 8, "test": 8}
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(GROUPS)] = [COLORS[labels[0]] for labels in GROUPS.values()]
    for seed, (split, count) in enumerate(counts.items()):
        first, step = _FIRST[split]
        for index, sample in enumerate(
            generate(tuple(GROUPS), [_SIZE] * count, objects=len(GROUPS), seed=seed)
        ):
            frame = FRAMES[split].format(first + step * index)
            assert sample.label_map is not None  # they are generated with one
            write_picture(root / IMAGES / f"{frame}.png", sample.image.permute(1, 2, 0).numpy())
            write_picture(root / LABELS / f"{frame}_L.png", colors[sample.label_map.numpy()])
    return sum(counts.values())
