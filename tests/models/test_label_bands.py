"""Label maps of images that are read window by window: those of one sum over the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from toolkit.models.label_bands import label_bands
from toolkit.models.semantic import SemanticModel
from toolkit.models.sliding_window import predict_tiled, reader_of
from toolkit.models.window_grid import starts
from toolkit.types.pixel_runs import Rectangle

CLASSES = ("a", "b", "c")


def model() -> SemanticModel:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
    return SemanticModel(network, CLASSES).eval()


def image(height: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, height, width), dtype=np.uint8))


def summed(net: SemanticModel, pixels: Tensor, window: int, overlap: float) -> Tensor:
    """The same from sums of the size of the image."""
    height, width = int(pixels.shape[1]), int(pixels.shape[2])
    h, w = min(window, height), min(window, width)
    sums = torch.zeros(len(CLASSES), height, width)
    weights = [torch.sin(torch.pi * (torch.arange(n) + 0.5) / n) ** 2 for n in (h, w)]
    for top in starts(height, h, overlap):
        for left in starts(width, w, overlap):
            place = slice(top, top + h), slice(left, left + w)
            sums[:, *place] += net.logits(pixels[None, :, *place])[0] * (weights[0][:, None] * weights[1])
    return sums.argmax(0).to(torch.uint8)


@torch.no_grad()
@pytest.mark.parametrize("size", [(70, 90), (33, 200), (200, 33), (20, 20), (1, 50), (131, 97)])
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.8])
def test_the_sums_are_those_of_the_whole_image_bit_by_bit(size: tuple[int, int], overlap: float) -> None:
    net, pixels = model(), image(*size)
    assert torch.equal(predict_tiled(net, pixels, 32, overlap), summed(net, pixels, 32, overlap))


@torch.no_grad()
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.7])
def test_the_rest_of_a_label_map_is_that_of_all_of_it(overlap: float) -> None:
    net, pixels = model(), image(110, 60)
    whole, read = predict_tiled(net, pixels, 32, overlap), reader_of(pixels)
    for top in (0, 1, 20, 31, 32, 33, 64, 100, 109):
        bands = list(label_bands(net, read, (110, 60), 32, overlap, top=top))
        assert bands[0].top == top
        assert [band.top for band in bands[1:]] == [band.top + len(band.labels) for band in bands[:-1]]
        assert torch.equal(torch.cat([band.labels for band in bands]), whole[top:])


@torch.no_grad()
def test_only_the_windows_that_reach_the_wanted_rows_are_read() -> None:
    net, pixels, read = model(), image(200, 60), list[Rectangle]()

    def reading(place: Rectangle) -> Tensor:
        read.append(place)
        return reader_of(pixels)(place)

    list(label_bands(net, reading, (200, 60), 32, 0.25, top=150))
    assert min(place.top for place in read) > 150 - 32
    assert len(read) < len(starts(200, 32, 0.25)) * len(starts(60, 32, 0.25)) / 2
    assert list(label_bands(net, reading, (200, 60), 32, 0.25, top=200)) == []
