"""Digits in IDX files, drawn with a font, for demos and tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import OutputError
from toolkit.runtime.files import atomic_write

SIZE = 28


def write_sample(folder: str | Path, *, train: int = 2000, test: int = 400) -> int:
    """Draw digits, each moved, turned and scaled a little, and write them as gzipped IDX files.

    Args:
        folder: output folder; created if missing.
        train: images of the training set.
        test: images of the test set.

    Returns:
        The number of images written.

    Raises:
        OutputError: when there are such files already, or one cannot be written.
    """
    root = Path(folder)
    if any(root.glob("train-images*")):
        raise OutputError(f"{root} already contains MNIST. Hint: choose another folder, or delete it first")
    for seed, (part, count) in enumerate((("train", train), ("t10k", test))):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = np.stack([_digit(rng, int(label)) for label in labels])
        _write(root / f"{part}-images-idx3-ubyte.gz", images)
        _write(root / f"{part}-labels-idx1-ubyte.gz", labels)
    return train + test


def _write(path: Path, values: NDArray[np.uint8]) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 0x08, values.ndim, *values.shape)
    with atomic_write(path) as file, gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
        packed.write(header + values.tobytes())


def _digit(rng: np.random.Generator, label: int) -> NDArray[np.uint8]:
    """White on black, uint8 ``[28, 28]``."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    cv2.putText(canvas, str(label), (5, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, int(rng.integers(1, 4)))
    center = (SIZE / 2, SIZE / 2)
    move = cv2.getRotationMatrix2D(center, float(rng.uniform(-15, 15)), float(rng.uniform(0.8, 1.15)))
    move = move + np.array([[0, 0, rng.uniform(-2, 2)], [0, 0, rng.uniform(-2, 2)]])
    turned = cv2.warpAffine(canvas, move, (SIZE, SIZE)).astype(int) + rng.integers(0, 20, (SIZE, SIZE))
    digit: NDArray[np.uint8] = turned.clip(0, 255).astype(np.uint8)
    return digit
