"""Batches in the format of CIFAR-10, of a plain pattern for each class, for demos and tests."""

from __future__ import annotations

import colorsys
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import OutputError
from toolkit.runtime.files import atomic_write

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def write_sample(folder: str | Path, *, per_batch: int = 200) -> int:
    """Draw stripes whose color and direction depend on the class, and write them as pickles.

    Args:
        folder: output folder; created if missing.
        per_batch: images of each of the five batches to train on, and of that to test on.

    Returns:
        The number of images written.

    Raises:
        OutputError: when there are batches already, or a file cannot be written.
    """
    root = Path(folder)
    if (root / "batches.meta").exists():
        raise OutputError(
            f"{root} already contains CIFAR-10. Hint: choose another folder, or delete it first"
        )
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 10, per_batch).tolist()
        data = np.stack([_pattern(rng, label) for label in labels])
        content = {
            b"batch_label": f"synthetic {name}".encode(),
            b"labels": labels,
            b"data": data,
            b"filenames": [f"{CLASSES[label]}_{i}.png".encode() for i, label in enumerate(labels)],
        }
        with atomic_write(root / name) as file:
            pickle.dump(content, file, protocol=2)
    meta = {
        b"num_cases_per_batch": per_batch,
        b"label_names": [name.encode() for name in CLASSES],
        b"num_vis": 3072,
    }
    with atomic_write(root / "batches.meta") as file:
        pickle.dump(meta, file, protocol=2)
    return per_batch * len(names)


def _pattern(rng: np.random.Generator, label: int) -> NDArray[np.uint8]:
    """uint8 ``[3072]``: red, green and blue, each row by row."""
    color = np.array(colorsys.hsv_to_rgb((label % 5) / 5, 0.7, 0.9)) * 200
    rows, columns = np.mgrid[:32, :32]
    wave = np.sin((rows if label < 5 else columns) * rng.uniform(0.5, 0.9) + rng.uniform(0, 6))
    image = color[:, None, None] * (0.7 + 0.3 * wave) + rng.normal(0, 15, (3, 32, 32))
    values: NDArray[np.uint8] = image.clip(0, 255).astype(np.uint8).reshape(-1)
    return values
