"""Synthetic data in the layout of the LGG dataset, with bright discs as tumors, for demos and tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.data.generated import generate
from toolkit.errors import OutputError
from toolkit.runtime.files import atomic_write

_SIZE = (64, 64)


def write_sample(folder: str | Path, *, patients: int = 24, slices: int = 4) -> int:
    """Draw slices and write them as ``kaggle_3m/<patient>/``.

    Args:
        folder: output folder; created if missing.
        patients: number of patients (folders).
        slices: slices per patient; every other one shows a tumor.

    Returns:
        The number of slices written.

    Raises:
        OutputError: when ``kaggle_3m/`` already exists, or a file cannot be written.
    """
    root = Path(folder) / "kaggle_3m"
    if root.exists():
        raise OutputError(f"{root} already exists. Hint: choose another folder, or delete it first")
    for number in range(patients):
        patient = f"TCGA_XX_{number:04d}_20000101"
        for index in range(1, slices + 1):
            (sample,) = generate(
                ("background", "tumor"), [_SIZE], objects=index % 2, seed=number * slices + index
            )
            assert sample.label_map is not None  # it is generated with one
            mask = np.where(sample.label_map.numpy() == 1, 255, 0).astype(np.uint8)
            _write(
                root / patient / f"{patient}_{index}.tif",
                np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()),
            )
            _write(root / patient / f"{patient}_{index}_mask.tif", mask)
    return patients * slices


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    with atomic_write(path) as file:
        Image.fromarray(pixels).save(file, "TIFF")
