"""SAM 2: what its losses compare, and from which prompts it learns."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip(
    "toolkit.plugins.sam2.upstream",
    reason="needs the package sam2: see toolkit plugins info sam2",
    exc_type=ImportError,
)

from sam2_cases import objects, scene, toy
from toolkit.plugins.sam2 import clicks
from toolkit.plugins.sam2.decoder import DecoderOutput, ImageDecoder
from toolkit.plugins.sam2.learning import _in_grid
from toolkit.plugins.sam2.losses import lab_loss, sam2_loss

from toolkit.errors import InvalidDataError
from toolkit.models.contract import total_loss
from toolkit.types import Instances, Masks


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """Points, labels and earlier masks of every call of the decoder."""
    calls: list[tuple[Tensor, Tensor, Tensor | None]] = []
    original = ImageDecoder.__call__

    def record(
        self: ImageDecoder,
        points: Tensor,
        labels: Tensor,
        masks: Tensor | None = None,
        images: Tensor | None = None,
    ) -> DecoderOutput:
        calls.append((points, labels, masks))
        return original(self, points, labels, masks, images)

    monkeypatch.setattr(ImageDecoder, "__call__", record)
    return calls


# The loss


@pytest.mark.parametrize("seed", range(3))
def test_the_preset_lab_is_the_short_recipe(seed: int, asked: list[Any]) -> None:
    """The recipe written out: one random point an object, the first of three masks, logarithms, and 0.05 ×
    the error of the score.
    """
    model, sample = toy(), scene(3, seed=seed)
    torch.manual_seed(seed)
    losses = model.train().loss([sample])
    ((points, labels, earlier),) = asked
    assert labels.tolist() == [[1]] * 3
    assert earlier is None
    network = model.network
    (encoded,) = model.encode([sample])
    features = encoded.features
    with torch.no_grad():
        sparse, dense = network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=None)
        position = network.sam_prompt_encoder.get_dense_pe()
        fine = [features.stride4[None], features.stride8[None]]
        low, scores, _, _ = network.sam_mask_decoder(
            features.embedding[None], position, sparse, dense, True, True, fine
        )
    assert sample.instances is not None
    assert sample.instances.masks is not None
    # objects come in random order, but a point is on its own, unless they overlap
    grid = _in_grid(sample.instances.masks, 64).float()
    x, y = points[:, 0].long().T
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        truth = grid[order]
        if not all(truth[i, y[i], x[i]] for i in range(3)):
            continue
        found = torch.sigmoid(F.interpolate(low[:, :1], (64, 64), mode="bilinear")[:, 0])
        pixels = (-truth * torch.log(found) - (1 - truth) * torch.log(1 - found)).mean()
        both = (truth * (found > 0.5)).sum((1, 2))
        ious = both / (truth.sum((1, 2)) + (found > 0.5).sum((1, 2)) - both)
        expected = pixels + 0.05 * (scores[:, 0] - ious).abs().mean()
        if abs(losses["mask"].item() + losses["iou"].item() - expected.item()) < 1e-5:
            return
    raise AssertionError("the loss is that of no order of the objects whose points lie on them")


@pytest.mark.parametrize("criterion", [lab_loss, sam2_loss])
def test_an_object_that_is_not_there_has_an_object_score_only(criterion: Any) -> None:
    logits, truth = torch.randn(2, 8, 8, requires_grad=True), torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[1, 2:5, 2:6] = True
    several, ious = (logits[:, None], torch.rand(2, 1)) if criterion is sam2_loss else (logits, torch.rand(2))
    exists = torch.tensor([2.0, 2.0], requires_grad=True)
    terms = criterion(several, truth, ious, exists)
    for name, values in terms.items():
        assert (values[0].item() != 0) == (name == "object_score"), name
        assert values[1].item() != 0
    sum(values.sum() for values in terms.values()).backward()
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert exists.grad is not None
    assert exists.grad[0] > 0 > exists.grad[1], "learned to be absent, and present"


@pytest.mark.parametrize("criterion", [lab_loss, sam2_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_are_computed_in_full_precision(criterion: Any, dtype: torch.dtype) -> None:
    logits = (torch.randn(3, 1, 9, 9) * 40).to(dtype)
    truth = torch.rand(3, 9, 9) < 0.4
    ious = torch.rand(3, 1)
    logits, ious = (logits, ious) if criterion is sam2_loss else (logits[:, 0], ious[:, 0])
    exists = torch.randn(3)
    with torch.autocast("cpu", torch.bfloat16):
        found = criterion(logits, truth, ious, exists)
    wide = criterion(logits.float(), truth, ious, exists)
    assert all(
        torch.equal(value, wide[name]) and value.dtype == torch.float32 for name, value in found.items()
    )


def test_samples_count_the_same_however_many_objects_they_have() -> None:
    model = toy(preset="sam2", corrections=0).eval()  # where chance has no part in it
    samples = [scene(1), scene(4, seed=2), scene(0, seed=3)]
    singles = [model.loss([sample]) for sample in samples]
    together = model.loss(samples)
    for name, value in together.items():
        assert value.item() == pytest.approx(sum(each[name].item() for each in singles) / 3, rel=1e-4)


def test_300_objects_cost_no_more_than_the_most_that_are_asked_for(asked: list[Any]) -> None:
    masks = np.zeros((300, 40, 60), dtype=bool)
    for i, mask in enumerate(masks):
        mask[i // 30 * 4 : i // 30 * 4 + 3, i % 30 * 2] = True
    model = toy(max_objects=5, chunk=2).train()
    torch.manual_seed(0)
    model.loss([objects(masks), scene(2)])
    assert [len(points) for points, _, _ in asked] == [2, 2, 2, 1]
    first, asked[:] = torch.cat([points for points, _, _ in asked])[:5], []
    torch.manual_seed(1)
    model.loss([objects(masks), scene(2)])
    assert not torch.equal(first, torch.cat([points for points, _, _ in asked])[:5]), (
        "others are drawn each time"
    )


def test_crowds_and_empty_masks_are_not_learned_from(asked: list[Any]) -> None:
    masks = np.zeros((4, 20, 20), dtype=bool)
    masks[0, :9], masks[1, 12:, 3:9], masks[3, 12:, 12:] = True, True, True
    model = toy().train()
    model.loss([objects(masks, [True, False, False, False])])
    assert len(asked[0][0]) == 2, "neither the crowd nor the mask without a pixel"
    asked.clear()
    losses = model.loss([objects(masks[:1], [True])])
    assert [len(points) for points, _, _ in asked] == [1]
    assert losses["mask"] == losses["iou"] == 0 < losses["object_score"]


def test_a_sample_without_masks_is_named() -> None:
    sample = scene()
    boxes_only = Instances(sample.size, torch.tensor([[1.0, 1, 5, 5]]), torch.tensor([0]))
    for each in (
        sample.with_(instances=None),
        sample.with_(instances=boxes_only),
        sample.with_(instances=None, path="photos/a.jpg"),
    ):
        with pytest.raises(InvalidDataError, match=f"'{each.path or sample.id}' has no object masks"):
            toy().loss([each])
    with pytest.raises(InvalidDataError, match="an empty batch"):
        toy().loss([])


def test_masks_too_fine_for_the_grid_keep_a_pixel() -> None:
    masks = np.zeros((3, 200, 400), dtype=bool)
    masks[0, 101, 203], masks[1, 50:90, 60:200], masks[2, 199, 399] = True, True, True
    grid = _in_grid(Masks.from_dense(masks), 16)
    assert grid.shape == (3, 16, 16)
    assert grid[0].nonzero().tolist() == [[8, 8]]
    assert grid[2].nonzero().tolist() == [[15, 15]]
    assert grid[1].sum() == pytest.approx(40 * 140 / (200 * 400) * 256, rel=0.2)


# Prompts to learn from


def kinds(asked: list[tuple[Tensor, Tensor, Tensor | None]]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(row) for _, labels, _ in asked for row in labels.tolist())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"preset": "lab"}, {(1,)}),
        ({"preset": "lab", "prompts": "box"}, {(2, 3)}),
        ({"preset": "sam2", "corrections": 0}, {(1,), (2, 3)}),
        ({"preset": "sam2", "corrections": 0, "prompts": "point"}, {(1,)}),
    ],
)
def test_prompts_are_of_the_kinds_that_are_asked_for(
    asked: list[Any], settings: dict[str, Any], expected: set[tuple[int, ...]]
) -> None:
    model = toy(**settings).train()
    for seed in range(12):
        torch.manual_seed(seed)
        model.loss([scene(2, seed=seed)])
    counts = kinds(asked)
    assert set(counts) == expected
    assert min(counts.values()) > 24 / len(expected) / 2, "half and half"


def test_corrections_follow_the_errors_and_see_the_mask_before(asked: list[Any]) -> None:
    model = toy(preset="sam2").train()
    assert model.settings.filled().corrections == 7
    torch.manual_seed(4)
    sample = objects(np.pad(np.ones((1, 20, 20), dtype=bool), ((0, 0), (20, 24), (20, 24))))
    model.loss([sample])
    assert [labels.shape[1] - asked[0][1].shape[1] for _, labels, _ in asked] == list(range(8))
    assert asked[0][2] is None
    for before, after in itertools.pairwise(asked):
        assert torch.equal(after[0][:, :-1], before[0]), "earlier points stay"
        assert after[2] is not None
        assert after[2].shape == (1, 1, 16, 16)


@pytest.mark.parametrize("is_random", [True, False])
def test_corrections_lie_on_errors(is_random: bool) -> None:
    torch.manual_seed(0)
    truth, found = torch.rand(30, 12, 15) < 0.5, torch.rand(30, 12, 15) < 0.5
    truth[0] = found[0]
    points, labels = clicks.corrections(truth, found, is_random=is_random)
    for row in range(30):
        x, y = points[row, 0].long().tolist()
        if row:
            assert truth[row, y, x] != found[row, y, x]
            assert labels[row, 0] == truth[row, y, x]
        elif is_random:
            assert not truth[row, y, x]
            assert labels[row, 0] == 0
        else:
            assert labels[row, 0] == -1


def test_first_clicks_are_on_the_object_and_every_pixel_is_as_likely() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(1, 6, 9, dtype=torch.bool)
    mask[0, 1:3, 2:8], mask[0, 5, 8] = True, True
    points, labels = clicks.first_clicks(mask.expand(6500, -1, -1), is_random=True)
    assert (labels == 1).all()
    x, y = points[:, 0].long().T
    counts = torch.zeros(6, 9).index_put((y, x), torch.ones(6500), accumulate=True)
    assert torch.equal(counts > 0, mask[0])
    assert ((counts[mask[0]] - 500).abs() < 5 * 500**0.5).all()
    nowhere, labels = clicks.first_clicks(torch.zeros(2, 6, 9, dtype=torch.bool), is_random=True)
    assert labels.tolist() == [[1], [1]]
    assert (nowhere >= 0).all()
    assert torch.equal(
        clicks.first_clicks(mask, is_random=False)[0], clicks.first_clicks(mask, is_random=False)[0]
    )


def test_boxes_surround_the_object_give_or_take() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(200, 100, 1024, dtype=torch.bool)
    mask[:, 10:41, 20:271] = True
    corners, labels = clicks.boxes(mask)
    assert corners[0].tolist() == [[20, 10], [270, 40]]
    assert labels[0].tolist() == [2, 3]
    moved = clicks.boxes(mask, noise=0.1)[0] - corners
    assert moved[..., 0].abs().max() <= 20, "never more than 20 of 1024 pixels"
    assert moved[..., 0].abs().max() > 18
    assert 2.5 < moved[..., 1].abs().max() <= 3, "and never more than a tenth of its side"
    small = mask[..., :128]
    assert (clicks.boxes(small, noise=0.1)[0] - clicks.boxes(small)[0]).abs().max() <= 20 / 8, (
        "and as much less in a smaller image"
    )
    everything, _ = clicks.boxes(torch.ones(50, 8, 9, dtype=torch.bool), noise=0.1)
    assert (everything >= 0).all()
    assert (everything <= torch.tensor([8, 7])).all()


def test_held_out_losses_are_the_same_each_time() -> None:
    model = toy(preset="sam2", corrections=2).eval()
    samples = [scene(3), scene(0, seed=1)]
    values = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        values.append(total_loss(model.loss(samples)).item())
    assert values[0] == values[1]


# What is trained is what is predicted


@pytest.mark.parametrize("preset", ["lab", "sam2"])
@pytest.mark.parametrize("mask", ["best", "first", "single", "only"])
def test_every_mask_that_may_be_predicted_is_trained_and_no_other(preset: str, mask: str) -> None:
    """For points and for boxes: the masks whose heads get gradients are those that answers come from."""
    may_answer = {"best": {0, 1, 2, 3}, "first": {1}, "single": {0, 1, 2, 3}, "only": {0}}[mask]
    model = toy(preset=preset, mask=mask, prompts="mix", corrections=1).train()
    present(model)
    heads = model.network.sam_mask_decoder.output_hypernetworks_mlps
    trained: set[int] = set()
    for seed in range(4):
        model.zero_grad()
        torch.manual_seed(seed)
        total_loss(model.loss([scene(4, seed=seed)])).backward()
        for i, head in enumerate(heads):
            gradients = [p.grad for p in head.parameters() if p.grad is not None]
            if any(bool(gradient.any()) for gradient in gradients):
                trained.add(i)
    assert trained <= may_answer
    if mask in ("first", "only"):
        assert trained == may_answer
    else:
        # Of the three, those that were best, or had the highest score, at least once.
        assert 0 in trained or preset == "lab"
        assert len(trained) >= 2


def present(model: Any, score: float = 5.0) -> None:
    """Have the network say of every object that it is there, or of none."""
    with torch.no_grad():
        last = model.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
        last.weight.zero_()
        last.bias.fill_(score)


# Objects that the network takes for absent


def upstream_terms(model: Any, sample: Any, criterion: Any, asked: list[Any]) -> dict[str, float]:
    """The losses of the package's own code on the prompts that our training has asked: its heads, which hide
    the masks of what is absent, and its criterion.
    """
    network = model.network
    (encoded,) = model.encode([sample])
    features = encoded.features
    fine = [features.stride4[None], features.stride8[None]]
    outputs: dict[str, list[Any]] = {
        "multistep_pred_multimasks_high_res": [],
        "multistep_pred_ious": [],
        "multistep_object_score_logits": [],
    }
    previous = None
    for points, labels, _ in asked:
        found = network._forward_sam_heads(
            backbone_features=features.embedding[None].expand(len(points), -1, -1, -1),
            point_inputs={"point_coords": points, "point_labels": labels},
            mask_inputs=previous,
            high_res_features=[level.expand(len(points), -1, -1, -1) for level in fine],
            multimask_output=labels.shape[1] == 1,
        )
        _, high, ious, previous, _, _, exists = found
        outputs["multistep_pred_multimasks_high_res"].append(high)
        outputs["multistep_pred_ious"].append(ious)
        outputs["multistep_object_score_logits"].append(exists)
    truth = _in_grid(sample.instances.masks, model.image_size)
    return {name: float(value) for name, value in criterion([outputs], truth[None]).items()}


@pytest.mark.parametrize("corrections", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_masks_of_objects_taken_for_absent_cost_what_they_cost_upstream(
    seed: int, corrections: int, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "training.trainer", SimpleNamespace(CORE_LOSS_KEY="core_loss"))
    loss_fns = pytest.importorskip(
        "training.loss_fns", reason="this build of the package sam2 brings no training code"
    )
    weights = {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1}
    criterion = loss_fns.MultiStepMultiMasksAndIous(
        weights, supervise_all_iou=True, iou_use_l1_loss=True, pred_obj_scores=True
    )
    options = {"preset": "sam2", "mask": "best", "prompts": "point", "corrections": corrections}
    model = toy(**options, chunk=100).eval()
    # Upstream trains without the rule for unstable masks, which only prediction has.
    model.network.sam_mask_decoder.dynamic_multimask_via_stability = False
    sample = scene(5, seed=seed)
    with torch.no_grad():
        head = model.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
        head.weight.mul_(30)  # so that it takes some objects for absent
        model.loss([sample])
        scores = model_scores(model, sample, asked[0])
        # between two of the five, since rounding would decide about an object at exactly 0
        head.bias.sub_(scores.flatten().sort().values[2:4].mean())
    asked.clear()
    with torch.no_grad():
        ours = model.loss([sample])
        known = list(asked)
        exists = model_scores(model, sample, known[0])
        theirs = upstream_terms(model, sample, criterion, known)
    assert 0 < int((exists > 0).sum()) < 5
    assert ours["mask"] > 30, "the mask of an object that is taken for absent is far from any"
    names = {"mask": "loss_mask", "dice": "loss_dice", "iou": "loss_iou", "object_score": "loss_class"}
    for name, key in names.items():
        assert ours[name].item() == pytest.approx(weights[key] * theirs[key], rel=1e-4), name


def model_scores(model: Any, sample: Any, asked: Any) -> Tensor:
    points, labels, _ = asked
    (encoded,) = model.encode([sample])
    return ImageDecoder(model.network, [encoded.features])(points, labels).object_logits


def test_a_mask_that_is_hidden_learns_nothing_and_the_next_click_is_on_the_object(asked: list[Any]) -> None:
    model = toy(preset="sam2", corrections=1).train()
    present(model, -3.0)
    square = np.zeros((1, 64, 64), bool)
    square[:, 20:40, 10:30] = True
    torch.manual_seed(0)
    losses = model.loss([objects(square)])
    total_loss(losses).backward()
    for head in model.network.sam_mask_decoder.output_hypernetworks_mlps:
        assert all(p.grad is None or not p.grad.any() for p in head.parameters())
    (_, _, first), (points, labels, earlier) = asked
    assert first is None
    assert torch.equal(earlier, torch.full_like(earlier, -1024.0))
    x, y = points[0, -1].long().tolist()
    assert square[0, y, x]
    assert labels[0, -1] == 1
    assert losses["object_score"] > 0


def test_the_preset_lab_compares_masks_whatever_the_object_score() -> None:
    """The short recipe trains ``SAM2ImagePredictor``, which shows masks whatever the score."""
    values = []
    for score in (5.0, -5.0):
        model = toy(preset="lab").eval()
        present(model, score)
        values.append(model.loss([scene(2)])["mask"].item())
    assert values[0] == values[1]
