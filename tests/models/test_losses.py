from __future__ import annotations

import itertools
import math
import pickle

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import ConfigError
from toolkit.models.losses import (
    SegmentationLossSettings,
    _lovasz,
    cross_entropy,
    dice,
    focal,
    lovasz_softmax,
    segmentation_loss,
)
from toolkit.types import VOID

LOSSES = {"cross_entropy": cross_entropy, "dice": dice, "focal": focal, "lovasz": lovasz_softmax}
all_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def case(
    seed: int, batch: int = 2, classes: int = 4, height: int = 5, width: int = 7, void: float = 0.2
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, height, width, generator=generator, dtype=torch.float64)
    target = torch.randint(0, classes, (batch, height, width), generator=generator, dtype=torch.uint8)
    target[torch.rand(target.shape, generator=generator) < void] = VOID
    return logits, target


def pixels_of(logits: Tensor, target: Tensor) -> list[tuple[list[float], int]]:
    """Probabilities and label of every pixel of one image that is not void."""
    probabilities = logits.softmax(0)
    return [
        (probabilities[:, y, x].tolist(), int(target[y, x]))
        for y, x in itertools.product(range(target.shape[0]), range(target.shape[1]))
        if target[y, x] != VOID
    ]


def naive_focal(logits: Tensor, target: Tensor, gamma: float, weights: list[float]) -> float:
    pixels = pixels_of(logits, target)
    total = sum(weights[label] for _, label in pixels)
    return (
        sum(weights[label] * -((1 - p[label]) ** gamma) * math.log(p[label]) for p, label in pixels) / total
        if total
        else 0.0
    )


def naive_dice(logits: Tensor, target: Tensor, weights: list[float]) -> float:
    pixels = pixels_of(logits, target)
    present = sorted({label for _, label in pixels})
    losses = []
    for c in present:
        overlap = sum(p[c] for p, label in pixels if label == c)
        size = sum(p[c] for p, _ in pixels) + sum(label == c for _, label in pixels)
        losses.append(weights[c] * (1 - 2 * overlap / size))
    total = sum(weights[c] for c in present)
    return sum(losses) / total if total else 0.0


def jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """The set function of the paper (eq. 4): 1 - IoU when the pixels in ``wrong`` are mislabeled."""
    return len(wrong) / len(truth | wrong)


def naive_lovasz_extension(errors: list[float], truth: set[int]) -> float:
    """The paper's definition (eq. 7 and 8): errors in falling order times the growth of the set function."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    return sum(
        errors[i] * (jaccard_loss(set(order[: k + 1]), truth) - jaccard_loss(set(order[:k]), truth))
        for k, i in enumerate(order)
    )


def naive_lovasz(logits: Tensor, target: Tensor, weights: list[float]) -> float:
    pixels = pixels_of(logits, target)
    present = sorted({label for _, label in pixels})
    losses = []
    for c in present:
        truth = {i for i, (_, label) in enumerate(pixels) if label == c}
        errors = [1 - p[c] if i in truth else p[c] for i, (p, _) in enumerate(pixels)]
        losses.append(weights[c] * naive_lovasz_extension(errors, truth))
    total = sum(weights[c] for c in present)
    return sum(losses) / total if total else 0.0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0, 1.0]], ids=["even", "weighted"])
def test_losses_equal_naive_ones_image_by_image(seed: int, weights: list[float] | None) -> None:
    logits, target = case(seed, batch=3)
    target[0, target[0] == seed % 4] = (seed + 1) % 4  # a class is absent from the first image
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    naive = weights or [1.0] * 4
    images = list(zip(logits, target, strict=True))

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    expected_ce = [
        float(F.cross_entropy(x[None], t[None].long(), weight=tensor, ignore_index=VOID)) for x, t in images
    ]
    assert float(cross_entropy(logits, target, tensor)) == pytest.approx(mean(expected_ce), rel=1e-9)
    assert float(dice(logits, target, tensor)) == pytest.approx(
        mean([naive_dice(x, t, naive) for x, t in images]), rel=1e-9
    )
    assert float(lovasz_softmax(logits, target, tensor)) == pytest.approx(
        mean([naive_lovasz(x, t, naive) for x, t in images]), rel=1e-9
    )
    for gamma in (0.5, 2.0, 3.0):
        expected = mean([naive_focal(x, t, gamma, naive) for x, t in images])
        assert float(focal(logits, target, tensor, gamma=gamma)) == pytest.approx(expected, rel=1e-9)


def test_focal_with_gamma_zero_is_the_cross_entropy() -> None:
    logits, target = case(0)
    torch.testing.assert_close(focal(logits, target, gamma=0.0), cross_entropy(logits, target))


def test_lovasz_is_the_jaccard_loss_at_every_vertex() -> None:
    """On hard predictions the extension must equal the discrete function that it extends, for every set of
    wrong pixels.
    """
    for truth in ({0}, {1, 2}, {0, 1, 2, 3}):
        mask = torch.tensor([[float(i in truth) for i in range(4)]], dtype=torch.float64)
        for wrong in itertools.product([0.0, 1.0], repeat=4):
            value = float(_lovasz(torch.tensor([wrong], dtype=torch.float64), mask))
            assert value == pytest.approx(
                jaccard_loss({i for i, w in enumerate(wrong) if w}, truth), abs=1e-12
            )


@all_losses
def test_perfect_is_zero_and_worse_is_more(loss) -> None:
    target = torch.tensor([[[0, 1], [2, VOID]]], dtype=torch.uint8)
    right = F.one_hot(target.long() * (target != VOID), 3).permute(0, 3, 1, 2).double()
    values = [float(loss(sharpness * right, target)) for sharpness in (50.0, 5.0, 0.0, -5.0)]
    assert values[0] == pytest.approx(0, abs=1e-9)
    assert values == sorted(values)
    assert values[-1] > 0.5


@all_losses
def test_batch_of_four_is_the_mean_of_two_twos(loss) -> None:
    logits, target = case(3, batch=4)
    target[0, 1:] = VOID  # images with little and with nothing to say count as much as the others
    target[3] = VOID
    logits.requires_grad_(True)
    whole = loss(logits, target)
    parts = (loss(logits[:2], target[:2]) + loss(logits[2:], target[2:])) / 2
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (whole, parts)))


@all_losses
def test_void_pixels_have_no_say(loss) -> None:
    logits, target = case(4)
    other = torch.where((target == VOID)[:, None], 100 * torch.randn_like(logits), logits).requires_grad_(
        True
    )
    value = loss(other, target)
    torch.testing.assert_close(value, loss(logits, target))
    value.backward()
    assert not other.grad.movedim(1, -1)[target == VOID].any()
    assert other.grad.movedim(1, -1)[target != VOID].abs().sum() > 0


@all_losses
@pytest.mark.parametrize("weights", [None, [0.0, 1.0, 1.0, 1.0]], ids=["even", "weighted"])
def test_nothing_to_learn_from_is_zero_with_a_gradient_of_zero(loss, weights: list[float] | None) -> None:
    logits, target = case(5)
    target[:] = VOID if weights is None else 0  # all void, or all of a class of weight 0
    logits.requires_grad_(True)
    value = loss(logits, target, None if weights is None else logits.new_tensor(weights))
    assert value.item() == 0
    value.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@all_losses
def test_one_class_and_one_pixel_are_defined(loss) -> None:
    for classes, size in ((1, (4, 4)), (3, (1, 1))):
        logits, target = case(6, 1, classes, *size, void=0.0)
        assert math.isfinite(float(loss(logits, target)))


@all_losses
def test_gradients_are_right(loss) -> None:
    logits, target = case(7, classes=3, height=3, width=4)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_(True))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradient_stays_finite_on_certain_pixels(gamma: float) -> None:
    logits = torch.tensor([[200.0], [-200.0]]).view(1, 2, 1, 1).requires_grad_(True)
    focal(logits, torch.zeros(1, 1, 1, dtype=torch.uint8), gamma=gamma).backward()
    assert torch.isfinite(logits.grad).all()


@all_losses
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(loss, dtype: torch.dtype) -> None:
    logits, target = case(8, height=40, width=40)
    half = logits.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.float(), target), rtol=0, atol=1e-6)


@all_losses
def test_int64_targets_are_the_same(loss) -> None:
    logits, target = case(9)
    assert torch.equal(loss(logits, target), loss(logits, target.long()))


def test_terms_are_weighted_and_named() -> None:
    logits, target = case(10)
    settings = SegmentationLossSettings(
        cross_entropy=0, dice=2, focal=0.5, lovasz=3, focal_gamma=1, class_weights=(1, 2, 3, 4)
    )
    loss = segmentation_loss(settings)
    weights = torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)
    values = loss(logits, target)
    assert set(values) == {"dice", "focal", "lovasz"}
    torch.testing.assert_close(values["dice"], 2 * dice(logits, target, weights))
    torch.testing.assert_close(values["focal"], 0.5 * focal(logits, target, weights, gamma=1))
    torch.testing.assert_close(values["lovasz"], 3 * lovasz_softmax(logits, target, weights))
    assert pickle.loads(pickle.dumps(loss))(logits, target) == values  # models travel to spawned processes
    assert set(segmentation_loss(SegmentationLossSettings())(logits, target)) == {"cross_entropy"}


def test_terms_are_float32_under_autocast() -> None:
    logits, target = case(11)
    everything = segmentation_loss(SegmentationLossSettings(dice=1, focal=1, lovasz=1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = everything(logits.bfloat16(), target)
    expected = everything(logits.bfloat16().float(), target)
    assert {name: value.dtype for name, value in values.items()} == dict.fromkeys(LOSSES, torch.float32)
    assert values == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cross_entropy": 0}, "at least one"),
        ({"dice": -1}, "greater than or equal to 0"),
        ({"dice": math.inf}, "finite"),
        ({"class_weights": [1, -1]}, "at least 0"),
        ({"class_weights": [0, 0]}, "not all 0"),
        ({"class_weights": [1, math.nan]}, "finite"),
        ({"focal_gamma": -1}, "greater than or equal to 0"),
        ({"jaccard": 1}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SegmentationLossSettings(**values)


def test_class_weights_must_be_one_a_class() -> None:
    logits, target = case(12)
    with pytest.raises(ConfigError, match="has 2 weights, but there are 4 classes"):
        segmentation_loss(SegmentationLossSettings(class_weights=(1, 2)))(logits, target)
