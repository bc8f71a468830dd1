"""Checks of model plugins: training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from toolkit.errors import ToolkitError
from toolkit.models.contract import TrainableModel, total_loss
from toolkit.runtime.seeding import seed_everything
from toolkit.testing.checks import expect, explain
from toolkit.testing.model_case import ModelCase
from toolkit.testing.samples import unlabeled
from toolkit.types import Size
from toolkit.wording import some

ROUNDING = 1e-4
"""Relative tolerance between the loss of a batch and the mean of its samples' losses."""

PADDING = 0.02
"""The same if images differ in size: the padding of a smaller image affects it near the
border.
"""


def loss_is_finite(case: ModelCase) -> None:
    """The losses are named finite scalars with a gradient, and have the same names in training and in eval
    mode.
    """
    model, batch = case.build_trainable(), case.samples()
    seed_everything(0, "loss")
    losses = model.loss(batch)
    expect(
        isinstance(losses, dict) and len(losses) > 0,
        f"loss must return a dict of named losses, not {type(losses).__name__}",
    )
    for name, value in losses.items():
        expect(
            isinstance(value, Tensor) and value.dim() == 0,
            f"loss {name!r} must be a scalar tensor, not {_describe(value)}",
        )
        expect(
            math.isfinite(value.item()),
            f"loss {name!r} is {value.item()} on ordinary samples with random weights",
        )
    expect(
        total_loss(losses).requires_grad,
        "the loss has no gradient. Hint: compute it without .item(), .detach() or no_grad",
    )
    with torch.no_grad():
        in_eval_mode = model.eval().loss(batch)
    expect(
        set(in_eval_mode) == set(losses),
        f"in eval mode the losses are {sorted(in_eval_mode)}, in training mode {sorted(losses)}",
    )


def _describe(value: object) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def loss_is_a_mean_over_samples(case: ModelCase) -> None:
    """The loss of a batch is the mean of the losses of its samples, which may differ in size, so it may be
    split over processes and accumulated.
    """
    model = case.build_trainable().eval()  # excludes batch norm and dropout
    height, width = case.size
    same = [case.size] * 2
    larger = [(height, width), (2 * height, 3 * width)]
    _check_mean(case, model, same, ROUNDING)
    _check_mean(case, model, larger, PADDING)


def _check_mean(case: ModelCase, model: TrainableModel, sizes: Sequence[Size], tolerance: float) -> None:
    batch = [*case.samples(sizes=sizes), *case.samples(objects=1, sizes=sizes, seed=1)]
    singles = [case.loss_of(model, [sample]) for sample in batch]
    together, mean = case.loss_of(model, batch), sum(singles) / len(singles)
    expect(
        math.isclose(together, mean, rel_tol=tolerance, abs_tol=ROUNDING),
        f"the loss of {len(batch)} samples is {together:.5g}, but the mean of their losses is {mean:.5g}"
        f" ({', '.join(f'{value:.4g}' for value in singles)}), for images of"
        f" {' and '.join(f'{height}×{width}' for height, width in dict.fromkeys(sizes))} pixels. Hint:"
        " average over each image first, then over the images, and resize and pad an image as if it were"
        " alone",
    )


def loss_falls(case: ModelCase) -> None:
    """A few steps with the plugin's own optimizer settings lower the loss of the batch."""
    training = case.training
    expect(
        training.after < training.before,
        f"after {case.steps} steps on one batch the loss is {training.after:.5g}; it was"
        f" {training.before:.5g}. Hint: check train.lr ({case.train_settings().lr:g}) and whether the"
        " loss depends on the weights",
    )


def gradients_reach_all_parameters(case: ModelCase) -> None:
    """Every parameter in the optimizer has a nonzero gradient in some step, and no other parameter
    changes."""
    training = case.training
    missed = sorted(training.trainable - training.reached)
    expect(
        not missed,
        f"no gradient reaches {some(missed)} in {case.steps} steps. Hint: use them in the loss, or set"
        " requires_grad=False",
    )
    before, frozen = (
        case.build().state_dict(),
        set(dict(training.model.named_parameters())) - training.trainable,
    )
    changed = sorted(
        name for name in frozen if not torch.equal(before[name], training.model.state_dict()[name])
    )
    expect(
        not changed,
        f"parameters that do not train have changed: {some(changed)}. Hint: change weights by gradients only",
    )


def missing_labels_are_named(case: ModelCase) -> None:
    """Training on a sample without labels raises a toolkit error that names the sample."""
    model = case.build_trainable()
    (sample,) = case.samples(1)
    try:
        model.loss([unlabeled(sample)])
    except ToolkitError as error:
        expect(sample.id in str(error), f"the error does not name the sample {sample.id!r}: {error}")
        return
    except Exception as error:
        raise AssertionError(
            f"a sample without labels raises {explain(error, case.manifest)}. Hint: raise InvalidDataError"
            " with the sample's id"
        ) from error
    raise AssertionError(
        "a sample without labels has a loss. Hint: raise InvalidDataError with the sample's id"
    )


def samples_stay_as_they_are(case: ModelCase) -> None:
    """Neither training nor predicting modifies the samples."""
    model, used, untouched = case.build(), case.samples(), case.samples()
    case.predict(model, used)
    case.loss_of(case.build_trainable(), used)
    for sample, before in zip(used, untouched, strict=True):
        pairs = [(sample.image, before.image), (sample.label_map, before.label_map)]
        same = all(torch.equal(one, other) for one, other in pairs if one is not None and other is not None)
        expect(
            same,
            f"the image or label map of sample {sample.id!r} was overwritten. Hint: copy before changing in"
            " place",
        )


def predicting_leaves_no_trace(case: ModelCase) -> None:
    """Predicting during training changes no mode, weight, buffer or gradient, and does not affect the result
    of training.
    """
    model = case.build_trainable().eval()
    modes = {name: part.training for name, part in model.named_modules()}
    before = _state(model)
    with torch.no_grad():
        seed_everything(0, "predict")
        model.predict(case.unlabeled())
    changed = [
        name or "the model"
        for name, part in model.named_modules()
        if part.training != modes.get(name, part.training)
    ]
    expect(
        not changed,
        f"predict switches to training mode: {some(changed)}. Hint: leave the mode unchanged, or restore it",
    )
    after = _state(model)
    expect(set(after) == set(before), f"predict adds or removes {some(sorted(set(after) ^ set(before)))}")
    written = [name for name, value in after.items() if not torch.equal(value, before[name])]
    expect(
        not written,
        f"predict changes {some(written)} in eval mode. Hint: predict must not write to parameters or"
        " buffers",
    )
    graded = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    expect(not graded, f"predict leaves gradients behind in {some(graded)}")
    expect(
        torch.is_grad_enabled(),
        "predict permanently disables gradients. Hint: use `with torch.no_grad():`",
    )
    with_break, without = (_after_steps(case, predicting=predicting) for predicting in (True, False))
    differing = [name for name, value in with_break.items() if not torch.equal(value, without[name])]
    expect(
        not differing,
        f"training gives a different result when predict is called between two steps: {some(differing)}"
        " differ",
    )


def _state(model: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers, including non-persistent ones."""
    return {
        name: value.detach().clone() for name, value in [*model.named_parameters(), *model.named_buffers()]
    }


def _after_steps(case: ModelCase, *, predicting: bool = False) -> Mapping[str, Tensor]:
    """The state after two rounds of training, optionally with a prediction in between."""
    model, batch = case.build_trainable(), case.samples(2)
    case.train_steps(model, batch, 1)
    if predicting:
        case.predict(model, [unlabeled(sample) for sample in batch])
    case.train_steps(model, batch, 1)
    return _state(model)


def training_is_repeatable(case: ModelCase) -> None:
    """Two training runs with the same seed end with the same weights, bit for bit on a CPU."""
    first, second = _after_steps(case), _after_steps(case)
    differing = [name for name, value in first.items() if not torch.equal(value, second[name])]
    expect(
        not differing,
        f"two training runs with the same seed differ in {some(differing)}. Hint: draw all random numbers"
        " from torch, NumPy's global generator or `random`; these are seeded before each step",
    )


def mixed_precision(case: ModelCase) -> None:
    """Under bf16 autocast, the losses stay finite and prediction works."""
    model, batch = case.build_trainable(), case.samples()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = case.loss_of(model, batch)
        case.predict(model, [unlabeled(sample) for sample in batch])
    expect(math.isfinite(value), f"under bf16 autocasting the loss is {value}")
