"""Parts of images in memory, and overviews."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.data import window_reading
from toolkit.data.window_reading import WholeImage
from toolkit.types.pixel_runs import Rectangle


def image(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8))


def test_a_part_of_an_image_in_memory() -> None:
    pixels = image(40, 50)
    with WholeImage(pixels) as reader:
        assert reader.size == (40, 50)
        assert torch.equal(reader.read(Rectangle(3, 5, 9, 20)), pixels[:, 3:9, 5:20])
        assert reader.notes() == {}


@pytest.mark.parametrize("size", [(40, 60), (41, 60), (40, 61), (5, 7), (1, 1)])
@pytest.mark.parametrize("step", [1, 4, 7])
def test_an_overview_has_the_means_of_blocks(
    size: tuple[int, int], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = image(*size)
    height, width = -(-size[0] // step), -(-size[1] // step)
    padded = np.pad(
        pixels.numpy(), [(0, 0), (0, height * step - size[0]), (0, width * step - size[1])], "edge"
    )
    means = padded.reshape(3, height, step, width, step).astype(float).mean((2, 4))
    for band in (window_reading._BAND_PIXELS, 100):
        monkeypatch.setattr(window_reading, "_BAND_PIXELS", band)
        found = WholeImage(pixels).overview(step)
        assert tuple(found.shape) == (3, height, width)
        assert float(np.abs(found.numpy() - means).max()) <= 0.51
