"""Synthetic data in the LabPics layout V1 Simple: drawn bench scenes with glassware, for demos and tests.

Everything of an image is drawn from one NumPy generator seeded by (seed, split, number), at twice the final
size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import OutputError, UsageError
from toolkit.runtime.files import atomic_write

from .glassware import UNSEGMENTED, Bench, draw_bench

SPLITS = ("Train", "Test")
FILLED = 16
FOLDERS = {
    1: "1_Vessel",
    6: "6_Liquid_GENERAL",
    7: "7_Liquid Suspension",
    8: "8_Foam",
    10: "10_Solid_GENERAL",
    12: "12_Powder",
    FILLED: "16_Filled",
}
"""The semantic maps that are written, by V1's class numbers."""


@dataclass(frozen=True)
class _Files:
    """The paths of the files of one image."""

    folder: Path
    name: str

    def image(self) -> Path:
        return self.folder / "Image" / f"{self.name}.jpg"

    def instance(self) -> Path:
        return self.folder / "Instance" / f"{self.name}.png"

    def semantic(self, label: int) -> Path:
        return self.folder / "Semantic" / FOLDERS[label] / f"{self.name}.png"


def write_sample(
    folder: str | Path, *, train: int = 200, test: int = 40, size: int = 256, seed: int = 0
) -> int:
    """Draw a small LabPics and write it as ``folder/Simple/{Train,Test}/{Image,Instance,Semantic}``.

    Args:
        folder: output folder; created if missing.
        train: images in Train.
        test: images in Test.
        size: height and width of an image, in pixels, 64 or more.
        seed: different seeds give different images.

    Returns:
        The number of images written.

    Raises:
        UsageError: when a number is out of range.
        OutputError: when ``folder`` already contains ``Simple``, or a file cannot be written.
    """
    if min(train, test) < 1 or size < 64 or seed < 0:
        raise UsageError(
            f"a sample needs train and test ≥ 1, size ≥ 64 and seed ≥ 0, not train={train}, test={test},"
            f" size={size}, seed={seed}"
        )
    root = Path(folder) / "Simple"
    if root.exists():
        raise OutputError(f"{root} already exists. Hint: choose another folder, or delete it first")
    for number, (split, count) in enumerate(zip(SPLITS, (train, test), strict=True)):
        for index in range(count):
            bench = draw_bench(np.random.default_rng([seed, number, index]), size)
            _write(_Files(root / split, f"bench-{split.lower()}-{index:05d}"), bench)
    return train + test


def _write(files: _Files, bench: Bench) -> None:
    _encode(files.image(), cv2.cvtColor(bench.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    empty = np.zeros_like(bench.vessels)
    _encode(
        files.instance(), cv2.merge([bench.materials, empty, bench.vessels])
    )  # in the order blue, green, red
    for label, mask in _semantic(bench):
        if mask.any():  # as in the published data, classes absent from an image have no file
            _encode(files.semantic(label), mask.astype(np.uint8))


def _semantic(bench: Bench) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    kinds = np.array([0, *bench.kinds], np.uint8)[
        np.where(bench.materials == UNSEGMENTED, 0, bench.materials)
    ]
    yield 1, (bench.vessels != 0) & (bench.vessels != UNSEGMENTED)
    yield 6, (kinds == 6) | (kinds == 7)
    yield 10, kinds == 12
    for kind in (7, 8, 12):
        yield kind, kinds == kind
    yield FILLED, kinds != 0


def _encode(path: Path, pixels: NDArray[Any], parameters: list[int] | None = None) -> None:
    encoded, data = cv2.imencode(path.suffix, pixels, parameters or [])
    if not encoded:
        raise OutputError(f"{path}: the image could not be encoded")
    with atomic_write(path) as file:
        file.write(data.tobytes())
