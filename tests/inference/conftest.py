"""A folder of images, good and bad; and the same twelve frames in a folder and as a video."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from frames_cases import SIZE, frame
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for index in range(12):
        cv2.imwrite(str(path / f"{index}.png"), frame(index))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE[::-1])
    for index in range(12):
        writer.write(frame(index))
    writer.release()
    return path
