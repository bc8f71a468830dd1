"""Everything in an image: the masks of upstream's generator for the published way of asking, and the model's
own answers for all others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import scene, toy
from toolkit.plugins.sam2 import everything

from toolkit.types import Instances, Masks, Prompts, Sample

ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
"""Settings with which nothing that is found is dropped."""


def noise(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def sample_of(image: np.ndarray[Any, Any]) -> Sample:
    return Sample("a", torch.from_numpy(image).permute(2, 0, 1))


def everything_in(model: Any, sample: Sample) -> Instances:
    (prediction,) = model.eval().predict([sample])
    assert prediction.instances is not None
    assert prediction.instances.masks is not None
    return prediction.instances


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
@pytest.mark.parametrize(
    ("size", "auto"),
    [
        ((60, 80), {"points_per_side": 4, **ALL}),
        ((90, 50), {"points_per_side": 3, **ALL, "crop_n_layers": 1, "crop_n_points_downscale_factor": 2}),
        ((41, 203), {"points_per_side": 5, **ALL, "box_nms_thresh": 0.6, "stability_score_offset": 0.05}),
        (
            (64, 64),
            {"points_per_side": 6, **ALL, "stability_score_thresh": 0.5, "stability_score_offset": 0.01},
        ),
    ],
)
def test_masks_are_those_of_upstreams_generator(
    size: tuple[int, int], auto: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    # Some masks at a time, as in a photo of many pixels.
    monkeypatch.setattr(everything, "CPU_PIXELS", 5 * size[0] * size[1])
    model = toy(mask="best", image_size=128, auto=auto).eval()
    image = noise(*size)
    generator = SAM2AutomaticMaskGenerator(model.network, **auto)
    generator.predictor._bb_feat_sizes = [(32, 32), (16, 16), (8, 8)]  # written out for 1024 pixels there
    expected = generator.generate(image)
    found = everything_in(model, sample_of(image))
    assert found.masks is not None
    assert found.scores is not None
    assert len(found) == len(expected) >= 2
    ours = sorted(mask.numpy().tobytes() for mask in found.masks.dense())
    assert ours == sorted(each["segmentation"].tobytes() for each in expected)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert set(found.labels.tolist()) == {0}


@pytest.mark.parametrize("rough_masks", [False, True])
@pytest.mark.parametrize("mask", ["first", "single", "only"])
def test_otherwise_each_point_is_answered_as_the_model_answers_it(mask: str, rough_masks: bool) -> None:
    """The same mask of the decoder, and the same drawing of the prompt: 36 answers, none dropped."""
    options = {"mask": mask, "rough_masks": rough_masks, "preset": "sam2"}
    model = toy(**options, auto={"points_per_side": 6, **ALL}).eval()
    sample = scene(3, size=(50, 70))
    found = everything_in(model, sample.with_(instances=None))
    xs, ys = (torch.arange(6) + 0.5) / 6 * 70, (torch.arange(6) + 0.5) / 6 * 50
    points = torch.cartesian_prod(ys, xs).flip(1)[:, None]
    answers = model.answer(model.encode([sample])[0], Prompts(points, torch.ones(36, 1, dtype=torch.int64)))
    assert answers.scores is not None
    assert answers.masks is not None
    assert found.scores is not None
    assert found.masks is not None
    assert len(found) == 36
    assert (answers.masks.areas() > 0).sum() > 20
    assert torch.allclose(found.scores.sort().values, answers.scores.sort().values, atol=1e-5)
    # A pixel whose logit is almost 0 may change sides by rounding.
    assert unmatched(answers.masks, found.masks) == []


def unmatched(wanted: Masks | None, found: Masks | None) -> list[int]:
    """Those of the masks that are not, within two pixels, among others."""
    assert wanted is not None
    assert found is not None
    others = found.dense().flatten(1)
    differing = [int((others ^ mask.flatten()).sum(1).min()) for mask in wanted.dense()]
    return [row for row, count in enumerate(differing) if count > 2]


def test_other_masks_than_those_that_are_trained_are_not_used() -> None:
    """As of a run that trained the first mask alone: whatever the others hold makes no difference."""
    sample, results = scene(2), []
    for spoil in (False, True):
        model = toy(mask="first", auto={"points_per_side": 4, **ALL}).eval()
        if spoil:
            decoder = model.network.sam_mask_decoder
            for untrained in (0, 2, 3):
                torch.nn.init.constant_(decoder.output_hypernetworks_mlps[untrained].layers[-1].bias, 9.0)
        found = everything_in(model, sample.with_(instances=None))
        results.append((len(found), found.masks, found.scores))
    assert results[0][:2] == results[1][:2]
    assert torch.equal(results[0][2], results[1][2])


def test_few_masks_are_held_in_the_size_of_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    original = everything._Generator._in_pixels

    def watch(self: Any, logits: torch.Tensor, *others: Any) -> Any:
        held.append(logits.numel())
        return original(self, logits, *others)

    monkeypatch.setattr(everything._Generator, "_in_pixels", watch)
    model = toy(mask="best", auto={"points_per_side": 2, **ALL})
    everything_in(model, sample_of(noise(1500, 1300)))
    assert sum(held) == 12 * 1500 * 1300
    assert max(held) <= everything.CPU_PIXELS
    held.clear()
    everything_in(model, sample_of(noise(30, 40)))
    assert held == [12 * 30 * 40], "and all at once in the size of a small one"


def test_masks_of_a_low_predicted_iou_are_never_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    original = everything._Generator._in_pixels

    def watch(self: Any, logits: torch.Tensor, *others: Any) -> Any:
        held.append(len(logits))
        return original(self, logits, *others)

    monkeypatch.setattr(everything._Generator, "_in_pixels", watch)
    model = toy(mask="best", auto={"points_per_side": 2, "pred_iou_thresh": 1.0})
    assert len(everything_in(model, sample_of(np.zeros((40, 50, 3), np.uint8)))) == 0
    assert sum(held) == 0


def test_an_image_with_nothing_that_is_certain_has_no_objects() -> None:
    for options in ({"mask": "best"}, {"mask": "first"}, {"mask": "only", "rough_masks": True}):
        model = toy(**options, auto={"points_per_side": 2, "pred_iou_thresh": 1.0})
        found = everything_in(model, sample_of(np.zeros((40, 50, 3), np.uint8)))
        assert len(found) == 0
        assert found.masks == Masks((40, 50))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (3, 2)])
def test_images_of_few_pixels(size: tuple[int, int]) -> None:
    model = toy(mask="first", auto={"points_per_side": 3, **ALL})
    found = everything_in(model, sample_of(noise(*size)))
    assert len(found) <= 9
