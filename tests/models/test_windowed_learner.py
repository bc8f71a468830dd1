"""The loss of a large image is the mean over its windows, with the truth cut at their edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import seams
from torch import Tensor

from toolkit.models.contract import evaluating
from toolkit.models.semantic import SemanticModel
from toolkit.models.sliding_window import Tiling, Windowed
from toolkit.models.window_grid import grid
from toolkit.models.windowed_learner import WindowedLearner
from toolkit.types import Instances, Masks, Sample


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8))


def map_sample(name: str, size: tuple[int, int], seed: int) -> Sample:
    truth = np.random.default_rng(seed + 50).integers(0, 2, size, dtype=np.uint8)
    return Sample(name, image(*size, seed), torch.from_numpy(truth))


def test_a_label_maps_loss_is_the_mean_of_the_losses_of_its_windows() -> None:
    model = SemanticModel(seams.Brighter(), seams.GROUNDS)
    samples = [map_sample("small", (20, 30), 1), map_sample("large", (70, 100), 2)]
    learner = WindowedLearner(model, Tiling(40, 0.5))
    with evaluating(learner):
        found, losses = learner.validate(samples)
        plain = Windowed(model, Tiling(40, 0.5)).predict(samples)
        windows = [each.place for row in grid((70, 100), 40, 0) for each in row]
        assert len(windows) == 6
        large, truth = samples[1], samples[1].label_map
        assert truth is not None
        pieces = [
            Sample(
                "piece",
                large.image[:, place.top : place.bottom, place.left : place.right],
                truth[place.top : place.bottom, place.left : place.right],
            )
            for place in windows
        ]
        of_pieces = [model.validate([each])[1]["cross_entropy"] for each in pieces]
        of_small = model.validate(samples[:1])[1]["cross_entropy"]
    assert [each.label_map is not None for each in found] == [True, True]
    for one, other in zip(found, plain, strict=True):
        assert one == other, "what infer predicts"
    expected = (of_small + torch.stack(of_pieces).mean()) / 2
    assert losses["cross_entropy"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_objects_are_cut_at_the_windows_edges_without_a_mask_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = np.zeros((2, 60, 80), bool)
    dense[0, 10:30, 30:60] = True
    dense[1, 50:58, 5:15] = True
    masks = Masks.from_dense(dense)
    truth = Instances((60, 80), masks.boxes_xyxy(), torch.zeros(2, dtype=torch.int64), masks)
    sample = Sample("a", image(60, 80) // 4, instances=truth)
    learner = WindowedLearner(seams.LearningRegions(seams.CLASSES), Tiling(40, 0.25))

    def refuse(masks: Masks, *args: object) -> Tensor:
        raise AssertionError(f"a dense mask of {masks.size}")

    monkeypatch.setattr(Masks, "dense", refuse)
    with evaluating(learner):
        _, losses = learner.validate([sample])
    windows = [each.place for row in grid((60, 80), 40, 0) for each in row]
    shares = [dense[:, place.top : place.bottom, place.left : place.right].sum() / 1600 for place in windows]
    assert len(windows) == 4
    assert losses["share"].item() == pytest.approx(float(np.mean(shares)), rel=1e-6)


def test_images_that_need_no_windows_are_validated_as_without() -> None:
    model = SemanticModel(seams.Brighter(), seams.GROUNDS)
    samples = [map_sample(str(seed), (20, 30), seed) for seed in range(3)]
    with evaluating(model):
        found, losses = WindowedLearner(model, Tiling(40)).validate(samples)
        plain, expected = model.validate(samples)
        trained = WindowedLearner(model, Tiling(10)).loss(samples)
        direct = model.loss(samples)
    assert found == plain
    assert {name: value.item() for name, value in losses.items()} == {
        name: value.item() for name, value in expected.items()
    }
    assert trained["cross_entropy"].item() == direct["cross_entropy"].item()
