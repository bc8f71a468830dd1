"""Optimizers and learning-rate schedules from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
    LinearParamScheduler,
    MultiStepParamScheduler,
    ParamScheduler,
    PolynomialDecayParamScheduler,
)
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from toolkit.config import TrainSettings
from toolkit.errors import ConfigError, TrainingError
from toolkit.models.contract import TrainableModel
from toolkit.models.parts import select
from toolkit.runtime.devices import choose_precision, find_device


def build_optimizer(model: TrainableModel, settings: TrainSettings) -> Optimizer:
    """The optimizer over the model's parameter groups, those with ``lr_factors`` in separate groups; each
    group stores its ``base_lr``.

    Raises:
        TrainingError: when nothing in the model is trainable.
        ConfigError: when ``lr_factors`` names a part that does not exist.
    """
    lr = settings.scaled_lr()
    groups = [{"lr": lr, **group} for group in model.parameter_groups(lr, settings.weight_decay)]
    groups = with_lr_factors(groups, model, settings.lr_factors)
    if not any(group["params"] for group in groups):
        raise TrainingError(
            "the model has no trainable parameter: everything is frozen. Hint: unfreeze a part of it"
        )
    for group in groups:
        group["base_lr"] = group["lr"]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    # One pass over memory and one call, instead of a dozen for each parameter; but Fabric cannot clip for it
    # under a GradScaler.
    is_fused = choose_precision(settings.precision, find_device(settings.device).type) != "fp16"
    return AdamW(
        groups,
        lr=lr,
        betas=(settings.momentum, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=is_fused or None,
    )


def with_lr_factors(
    groups: Sequence[Mapping[str, Any]], model: nn.Module, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Parameter groups in which parameters with a factor are in separate groups, whose ``lr`` is
    multiplied by it.

    Args:
        groups: groups with ``params`` and ``lr``; all other keys are copied, and ``name`` is prefixed with
            the pattern.
        model: the model with the parameters.
        factors: pattern (see ``toolkit.models.parts``) -> factor; if several match a parameter, the last
            one counts.

    Raises:
        ConfigError: when a pattern matches no part.
    """
    pattern_of = {
        tensor: pattern for pattern in factors for tensor in select(model, [pattern], "train.lr_factors")
    }
    split = [{**group, "params": [p for p in group["params"] if id(p) not in pattern_of]} for group in groups]
    for pattern, factor in factors.items():
        for group in groups:
            split.append(
                {
                    **group,
                    "params": [p for p in group["params"] if pattern_of.get(id(p)) == pattern],
                    "lr": group["lr"] * factor,
                    "name": f"{pattern} {group.get('name', '')}".rstrip(),
                }
            )
    return [group for group in split if group["params"]]


def warmup_steps(settings: TrainSettings, steps: int) -> int:
    """The number of warm-up steps: as in the settings, but at most half of a short run."""
    return min(settings.warmup_steps, steps // 2)


def build_schedule(settings: TrainSettings, steps: int) -> Callable[[int], float]:
    """``factor(step)``: the factor of the learning rate in a step, counting from 0.

    Raises:
        ConfigError: when a milestone, or ``unfreeze_at``, is beyond the last step.
    """
    warmup = warmup_steps(settings, steps)
    beyond = [milestone for milestone in settings.milestones if milestone >= steps]
    if beyond:
        raise ConfigError(f"train.milestones {beyond} are beyond the {steps} steps of the run")
    if settings.unfreeze_at is not None and settings.unfreeze_at >= steps:
        raise ConfigError(
            f"train.unfreeze_at {settings.unfreeze_at} is beyond the {steps} steps of the run. Hint:"
            " leave it out"
        )
    schedule: ParamScheduler
    if settings.schedule == "cosine":
        schedule = CosineParamScheduler(1.0, 0.0)
    elif settings.schedule == "poly":
        schedule = PolynomialDecayParamScheduler(1.0, settings.poly_power)
    elif settings.schedule == "multistep" and settings.milestones:
        values = [settings.gamma**i for i in range(len(settings.milestones) + 1)]
        schedule = MultiStepParamScheduler(values, num_updates=steps, milestones=list(settings.milestones))
    else:
        schedule = ConstantParamScheduler(1.0)
    if warmup:
        part = warmup / steps
        rise = LinearParamScheduler(settings.warmup_factor * schedule(0.0), schedule(part))
        schedule = CompositeParamScheduler([rise, schedule], [part, 1 - part], ["rescaled", "fixed"])
    return lambda step: float(schedule(step / steps))


def take_moments(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Load a saved state of an optimizer, except for how it computes, which follows the current precision and
    device.

    Raises:
        ValueError: when it belongs to other parameters.
        KeyError: when it lacks a part.
    """
    groups = [
        {**saved, **{key: own[key] for key in HOW if key in own}}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                shapes = f"{[*value.shape]}, and its parameter {[*parameter.shape]}"
                raise ValueError(f"{name} in the optimizer's state has the shape {shapes}")


HOW = ("fused", "foreach", "capturable", "differentiable")
"""Options of torch's optimizers that change how a step is computed, but not its result."""


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to its ``base_lr`` times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


class Ema:
    """An exponential moving average of a model's weights:
    ``average = decay * average + (1 - decay) * weights``.

    Buffers that are not floating point (counters) are copied. Early on the decay is
    ``(1 + step) / (10 + step)`` where that is smaller, so that the random start is forgotten (as in
    TensorFlow's ``ExponentialMovingAverage``).
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in model.state_dict().items()
        }

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        """Update the average with the weights after optimizer step ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def load(self, average: Mapping[str, Any]) -> None:
        """Load a saved average."""
        for name, value in self.average.items():
            value.copy_(average[name])


@contextmanager
def averaged_weights(model: torch.nn.Module, ema: Ema | None) -> Iterator[None]:
    """A context in which the model has its moving average, if there is one, in place of its weights."""
    if ema is None:
        yield
        return
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(ema.average)
    try:
        yield
    finally:
        model.load_state_dict(own)
