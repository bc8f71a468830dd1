"""Frames of videos and of folders of images."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from frames_cases import SIZE, frame

from toolkit.errors import DataError, UsageError
from toolkit.inference.frames import open_frames


def test_a_folder_is_in_the_order_of_its_numbers(folder: Path) -> None:
    frames = open_frames(folder)
    assert frames.names == tuple(f"{index}.png" for index in range(12))
    assert torch.equal(frames[11].image, torch.from_numpy(frame(11)).permute(2, 0, 1))


def test_a_video_gives_any_frame_at_any_time(video: Path) -> None:
    frames = open_frames(video)
    assert len(frames) == 12
    assert frames.names[11] == "000011"
    for index in (0, 1, 2, 7, 7, 3, 11, 0):
        sample = frames[index]
        assert sample.size == SIZE
        error = np.abs(sample.image.permute(1, 2, 0).numpy().astype(int) - frame(index)).mean()
        assert error < 4  # JPEG inside
    with pytest.raises(IndexError):
        frames[12]


def test_what_counts_as_a_frame(folder: Path) -> None:
    for name in ("²2.png", "٣.png", "._3.png", "a10.png", "a9.png"):
        cv2.imencode(".png", frame(0))[1].tofile(folder / name)
    (folder / "x.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "13.png")
    names = list(open_frames(folder).names)
    assert set(names) == {f"{index}.png" for index in range(12)} | {"²2.png", "٣.png", "a10.png", "a9.png"}
    assert names.index("a9.png") < names.index("a10.png")
    assert names.index("2.png") < names.index("11.png")


def test_what_is_no_video_is_named(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"not a film")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"film.mp4 is not a video that can be decoded"):
        open_frames(tmp_path / "film.mp4")
    with pytest.raises(UsageError, match="empty contains no image"):
        open_frames(tmp_path / "empty")
    with pytest.raises(UsageError, match="does not exist"):
        open_frames(tmp_path / "none.mp4")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(UsageError, match="pipe.mp4 is neither a file nor a folder"):
            open_frames(tmp_path / "pipe.mp4")
    cv2.imwrite(str(folder / "5.png"), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"5.png is 9 × 8 pixels \(width × height\), but the first frame 0.png is 48 × 32"
    ):
        open_frames(folder)[5]
