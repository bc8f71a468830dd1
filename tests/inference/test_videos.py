from __future__ import annotations

import numpy as np
import torch

from toolkit.inference.videos import frame_tensor, no_video


def test_frames_become_rgb() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    found = frame_tensor(frame)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), frame[..., ::-1])


def test_what_is_said_of_a_file_without_frames() -> None:
    assert no_video("a.mp4").startswith("a.mp4 is not a video that can be decoded")
    assert "Hint: convert it" in no_video("a.mp4")
