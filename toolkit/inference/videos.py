"""Shared by all readers of videos: frames as tensors, and the message for a file without frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch
from numpy.typing import NDArray
from torch import Tensor


def frame_tensor(frame: NDArray[Any]) -> Tensor:
    """Convert a frame from OpenCV, BGR ``[H, W, 3]``, to an image: uint8 ``[3, H, W]``, RGB, stored
    channels-last.
    """
    return torch.from_numpy(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)


def no_video(path: Path | str) -> str:
    """The message for a file without frames that can be decoded."""
    return (
        f"{path} is not a video that can be decoded, or contains no frames. Hint: convert it to MP4 (H.264),"
        " or to a folder of images"
    )
