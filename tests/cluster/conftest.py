"""A run whose model kills its process, and photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mortal_cases import PLUGIN
from PIL import Image

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.models.building import rebuild_model


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Path]:
    plugin, folder = tmp_path / "mortal.py", tmp_path / "run"
    plugin.write_text(PLUGIN)
    (tmp_path / "deadly").mkdir()
    registry.add_path(plugin)
    manifest = CheckpointManifest("mortal", "semantic", ("dark", "bright"))
    folder.mkdir()
    save_checkpoint(folder / "best.safetensors", rebuild_model(manifest, folder).state_dict(), manifest)
    return folder


@pytest.fixture
def many_photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(60):
        pixels = np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((30, 20), Image.Resampling.NEAREST).save(folder / f"{i:02d}.png")
    (folder / "05b.jpg").write_bytes(b"")
    return folder
