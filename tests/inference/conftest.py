"""A folder of images, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_cases import write_image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eleven images in nested folders, three of them bad."""
    folder = tmp_path / "photos"
    for i in range(6):
        write_image(folder / f"{i}.png", i, 20 + i, 30)
    write_image(folder / "deep" / "er" / "x.png", 7)
    write_image(folder / "deep" / "wide.jpg", 8, 10, 400)
    (folder / "2b.jpg").write_bytes(b"")
    (folder / "4b.png").write_bytes((folder / "4.png").read_bytes()[:-40])
    (folder / "deep" / "text.jpg").write_text("not an image")
    return folder
