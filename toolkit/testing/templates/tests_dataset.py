"""Conformance checks of mynet: ``pytest test_mynet.py``."""

from pathlib import Path

import numpy as np
from PIL import Image

from toolkit.testing import DatasetContract


class TestMyNet(DatasetContract):
    """A folder of noise images; write files of your own format instead."""

    dataset = "mynet.py"

    @classmethod
    def write_files(cls, folder: Path) -> None:
        """Six photos with label images."""
        rng = np.random.default_rng(0)
        for part in ("photos", "labels"):
            (folder / part).mkdir()
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(
                folder / "photos" / f"{i}.jpg"
            )
            Image.fromarray(rng.integers(0, 2, (30, 40), dtype=np.uint8)).save(folder / "labels" / f"{i}.png")
