"""Gradient methods equal the derivative of the score, by autograd, by finite differences and by captum."""

from __future__ import annotations

import sys

import pytest
import torch
from support.explained import sample, semantic
from torch import Tensor

from toolkit import SemanticModel, Target
from toolkit.errors import UnavailableError, UsageError
from toolkit.explaining.gradients import integrated_gradients, saliency, smoothgrad
from toolkit.explaining.subject import Effort, Subject

captum = pytest.importorskip("captum.attr")


def subject(seed: int = 0, effort: Effort | None = None, height: int = 12) -> Subject:
    mask = torch.zeros(height, 14, dtype=torch.bool)
    mask[2:9, 3:11] = True
    photo = sample(seed, height, 14)
    return Subject(semantic(seed).double(), photo, Target("region", 1, mask), effort=effort or Effort())


def scores(given: Subject, images: Tensor) -> Tensor:
    """The score, computed in another way."""
    model = given.model
    assert isinstance(model, SemanticModel)
    assert given.target.mask is not None
    return model.logits(images)[:, 1][:, given.target.mask].mean(1)


def test_saliency_is_autograds_derivative() -> None:
    given = subject()
    images = given.sample.image[None].double().requires_grad_()
    (gradient,) = torch.autograd.grad(scores(given, images).sum(), images)
    torch.testing.assert_close(saliency(given).values, gradient[0].abs().amax(0), rtol=1e-12, atol=0)


def test_saliency_is_the_quotient_of_finite_differences() -> None:
    """For each channel of some pixels; the ReLU has a kink at 0, which a step of 1e-5 does not reach."""
    given, step = subject(1), 1e-5
    found = saliency(given).values
    for row, column in ((0, 0), (5, 6), (11, 13), (8, 3)):
        slopes = []
        for channel in range(3):
            changes = torch.zeros(2, 3, 12, 14, dtype=torch.float64)
            changes[0, channel, row, column], changes[1, channel, row, column] = step, -step
            with torch.no_grad():
                high, low = scores(given, given.sample.image[None].double() + changes)
            slopes.append(abs(float(high - low)) / (2 * step))
        assert float(found[row, column]) == pytest.approx(max(slopes), rel=1e-4, abs=1e-10)


def test_saliency_reaches_no_further_than_the_network_sees() -> None:
    given = subject(height=40)
    values = saliency(given).values
    assert bool((values[14:] == 0).all())
    assert bool((values[2:9] > 0).any())


def test_smoothgrad_is_the_mean_over_noise_and_repeatable() -> None:
    effort = Effort(samples=6, noise=0.1, batch_size=4, seed=3)
    given = subject(effort=effort)
    before = torch.random.get_rng_state()
    found = smoothgrad(given).values
    assert torch.equal(torch.random.get_rng_state(), before), "the generator of the program stays"
    assert torch.equal(found, smoothgrad(given).values)
    assert not torch.equal(found, smoothgrad(subject(effort=Effort(samples=6, noise=0.1, seed=4))).values)


def test_smoothgrad_without_noise_is_saliency() -> None:
    given = subject(effort=Effort(samples=3, noise=1e-9))
    torch.testing.assert_close(smoothgrad(given).values, saliency(given).values, rtol=1e-5, atol=1e-9)


def test_integrated_gradients_add_up_to_the_gain_over_black() -> None:
    given = subject(2, Effort(steps=64, batch_size=16))
    found = integrated_gradients(given)
    images = given.sample.image[None].double()
    with torch.no_grad():
        gain = float(scores(given, images) - scores(given, torch.zeros_like(images)))
    assert found.figures["gain"] == pytest.approx(gain)
    assert abs(found.figures["missing"]) < 0.02 * abs(gain) + 1e-3


def test_integrated_gradients_of_a_linear_score_are_weights_times_pixels() -> None:
    given = subject(effort=Effort(steps=4))
    model = given.model
    assert isinstance(model, SemanticModel)
    model.network = torch.nn.Conv2d(3, 3, 1).double()
    weight = model.network.weight[1, :, 0, 0].detach() * model._scale[0, :, 0, 0]
    mask = given.target.mask
    assert mask is not None
    wanted = (given.sample.image.double() * weight[:, None, None]).sum(0).abs() * mask / mask.sum()
    torch.testing.assert_close(integrated_gradients(given).values, wanted)


@pytest.mark.parametrize("method", [smoothgrad, integrated_gradients])
def test_without_captum_the_extra_is_named(method: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert callable(method)
    with pytest.raises(UnavailableError, match=r"needs the extra explain, .* Hint: pip install 'captum"):
        method(subject())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, not 0"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"noise": 0.0}, "noise must be above 0"),
        ({"noise": 1.5}, "not 1.5"),
    ],
)
def test_effort_must_be_positive(given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Effort(**given)  # type: ignore[arg-type]
