"""Window by window: equal to the whole where that can be, and bounded in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from merging_cases import Oracle, scene
from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.models.capabilities import Windowable
from toolkit.models.semantic import SemanticModel
from toolkit.models.sliding_window import AUTOMATIC_WINDOW, Tiling, predict_tiled, windowed
from toolkit.models.window_grid import starts
from toolkit.types import Masks, Sample

CLASSES = ("a", "b", "c", "d", "e")


def model(kernel: int, seed: int = 0) -> SemanticModel:
    """A local network: two convolutions, so a pixel depends on those up to ``kernel - 1`` away."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 8, kernel, padding=kernel // 2), nn.ReLU(), nn.Conv2d(8, 5, kernel, padding=kernel // 2)
    )
    return SemanticModel(network, CLASSES).eval()


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8))


def whole(net: SemanticModel, pixels: Tensor) -> Tensor:
    label_map = net.predict([Sample("a", pixels)])[0].label_map
    assert label_map is not None
    return label_map


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (65, 130), (40, 300), (300, 40), (1, 200), (131, 97)]
)
@pytest.mark.parametrize("overlap", [0, 0.3, 0.75])
def test_a_network_that_sees_one_pixel_gives_the_same_tiled(height: int, width: int, overlap: float) -> None:
    net, pixels = model(kernel=1), image(height, width)
    assert torch.equal(predict_tiled(net, pixels, 64, overlap), whole(net, pixels))


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_a_local_network_gives_the_same_away_from_window_borders(seed: int) -> None:
    net, pixels = model(kernel=3, seed=seed), image(150, 210, seed)
    window, overlap, reach = 64, 0.25, 2
    tiled, direct = predict_tiled(net, pixels, window, overlap), whole(net, pixels)
    near = torch.zeros(150, 210, dtype=torch.bool)
    for top in starts(150, window, overlap):
        for edge in (top, top + window):
            near[max(0, edge - reach) : edge + reach] = True
    for left in starts(210, window, overlap):
        for edge in (left, left + window):
            near[:, max(0, edge - reach) : edge + reach] = True
    assert (~near).float().mean() > 0.5
    assert torch.equal(tiled[~near], direct[~near])
    assert (tiled == direct).float().mean() > 0.99  # and near them a window's edge counts for little


@torch.no_grad()
def test_a_window_that_covers_the_image_changes_nothing() -> None:
    net, pixels = model(kernel=3), image(50, 70)
    for window in (70, 71, 1000):
        assert torch.equal(predict_tiled(net, pixels, window, 0.25), whole(net, pixels))


@torch.no_grad()
def test_blending_leaves_no_seams() -> None:
    """Windows that disagree (each calls its own left half 0, its right half 1) meet half-way, not at an
    edge.
    """

    class Halves(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            left = (
                (torch.arange(images.shape[3]) < images.shape[3] // 2)
                .float()
                .expand(len(images), 1, images.shape[2], -1)
            )
            return torch.cat([left, 1 - left], dim=1)

    net = SemanticModel(Halves(), ("left", "right")).eval()
    row = predict_tiled(net, image(4, 150), 100, 0.5)[0].numpy()
    changes = np.flatnonzero(np.diff(row))  # the windows start at 0 and 50
    assert row[0] == 0
    assert row[-1] == 1
    assert changes.tolist() == [49, 74, 99]


@torch.no_grad()
def test_memory_is_that_of_the_rows_that_windows_share(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    net = model(kernel=1)
    logits = net.logits

    def watch(images: Tensor) -> Tensor:
        sizes.append(tuple(images.shape))
        return logits(images)

    monkeypatch.setattr(net, "logits", watch)
    largest = 0

    def counting(make: object) -> object:
        def wrapped(*args: object, **kwargs: object) -> Tensor:
            nonlocal largest
            made = make(*args, **kwargs)
            largest = max(largest, made.numel() if made.is_floating_point() else 0)
            return made

        return wrapped

    for owner, name in ((torch, "zeros"), (torch, "cat"), (Tensor, "new_zeros")):
        monkeypatch.setattr(owner, name, counting(getattr(owner, name)))
    predict_tiled(net, image(1000, 600), 32, 0.25)
    assert set(sizes) == {(1, 3, 32, 32)}
    assert 0 < largest <= len(CLASSES) * 9 * 600


def test_when_images_are_tiled() -> None:
    net = model(kernel=1)
    assert Tiling(window=100).window_for((100, 100), net) is None
    assert Tiling(window=100).window_for((100, 101), net) == 100
    assert Tiling().window_for((4000, 4000), net) is None
    assert Tiling().window_for((5000, 5000), net) == AUTOMATIC_WINDOW
    shrinking = SemanticModel(nn.Conv2d(3, 5, 1), CLASSES, long_side=512)
    assert Tiling().window_for((5000, 5000), shrinking) is None  # it copes by itself
    assert Tiling(window=600).window_for((5000, 5000), shrinking) == 600
    assert Tiling(max_pixels=10).window_for((20, 20), net) is None  # smaller than any window


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window": 0}, "window must be at least 1 pixel, not 0"),
        ({"overlap": 1.0}, r"overlap must be from 0 up to but not including 1, not 1\.0"),
        ({"overlap": -0.1}, "overlap must be"),
        ({"max_pixels": 0}, "max_pixels must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tiling(**values)


@torch.no_grad()
def test_as_part_of_another_model_it_tiles_what_is_larger_than_the_window() -> None:
    net = model(kernel=3)
    samples = [Sample(str(i), image(*size, seed=i)) for i, size in enumerate([(90, 70), (30, 40), (64, 65)])]
    wrapped = windowed(net, Tiling(window=64, overlap=0.5))
    found = wrapped.predict(samples)
    assert [each.sample_id for each in found] == ["0", "1", "2"]
    for sample, prediction in zip(samples, found, strict=True):
        expected = (
            predict_tiled(net, sample.image, 64, 0.5) if max(sample.size) > 64 else whole(net, sample.image)
        )
        assert prediction.label_map is not None
        assert torch.equal(prediction.label_map, expected)
    assert wrapped.predict([]) == []
    assert wrapped.capability(SemanticModel) is net


class Boxes(Oracle, Windowable):
    """Finds known objects in windows."""


def test_objects_are_put_together_and_whole_images_stay_as_they_are() -> None:
    size = (150, 190)
    masks, labels = scene(size, seed=2, count=8)
    net = Boxes(size, masks, labels)
    sample = Sample("a", net.image())
    (found,) = windowed(net, Tiling(window=64)).predict([sample])
    (direct,) = windowed(net, Tiling(window=190)).predict([sample])
    for prediction in (found, direct):
        objects = prediction.instances
        assert objects is not None
        assert objects.masks is not None
        assert (prediction.sample_id, prediction.label_map) == ("a", None)
        expected = sorted(zip(labels, Masks.from_dense(np.stack(masks)).counts, strict=True))
        assert sorted(zip(objects.labels.tolist(), objects.masks.counts, strict=True)) == expected


def test_a_model_that_says_nothing_of_windows_gets_none() -> None:
    net = Oracle((90, 90), [np.ones((90, 90), bool)], [0])
    with pytest.raises(UsageError, match=r"this model only predicts whole images\. Hint: leave out window"):
        windowed(net, Tiling(window=64))
    assert windowed(net, Tiling()).window_for((9000, 9000)) is None
