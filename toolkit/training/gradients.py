"""Statistics of an optimizer step: how large the gradients are, and how far the step moves the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from toolkit.errors import TrainingError

_UNSUPPORTED_OPTIONS = "amsgrad", "maximize", "nesterov"


@dataclass(frozen=True)
class UpdateStatistics:
    """The effect of one optimizer step on the weights.

    Attributes:
        figures: figures for the log, for each parameter group of the optimizer: ``grad_norm/<group>``, the
            norm of the gradient before clipping, and ``update_ratio/<group>``, the norm of the step divided
            by the norm of the weights.
        relative_updates: name of each parameter that has two dimensions or more, a gradient, and weights
            that are not all zero -> norm of the part of the step that the gradient causes, divided by the
            norm of the weights. Weight decay does not count, because it also moves weights that learn
            nothing.
        idle: the names in ``relative_updates`` whose gradient is exactly zero, as it is for parameters that
            the batch did not use.
    """

    figures: dict[str, float]
    relative_updates: dict[str, float]
    idle: frozenset[str] = frozenset()


@torch.no_grad()
def measure_update(model: nn.Module, optimizer: Optimizer, clip_ratio: float) -> UpdateStatistics:
    """Compute the statistics of the step that ``optimizer.step()`` is about to take.

    Call it right before ``optimizer.step()``, when the gradients are unscaled and clipped. The step follows
    from the weights, the gradients and the optimizer's state, so no copy of the weights is kept: in addition
    to one scalar for each norm, the memory needed is that of two copies of the largest parameter with AdamW,
    and of one with SGD. The norms stay on the device until all are known, and then take a single transfer.

    The step is the one in exact arithmetic. Weights are rounded when it is added to them, so in float32 a
    step smaller than about 6e-8 of a weight may leave that weight as it is.

    Args:
        model: the model, for the names of the parameters.
        optimizer: AdamW or SGD, possibly wrapped by Fabric. It is not changed. Parameters without a gradient
            are left out.
        clip_ratio: the factor by which clipping multiplied the gradients; 1 without clipping.

    Raises:
        TrainingError: when the step of the optimizer, or of one of its options, is not known here.
    """
    _check_supported(optimizer)
    names = {parameter: name for name, parameter in model.named_parameters()}
    learning = [
        (index, parameter, parameter.grad)
        for index, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    if not learning:
        return UpdateStatistics({}, {})
    norms = []
    for index, parameter, gradient in learning:
        norms += [torch.linalg.vector_norm(gradient), torch.linalg.vector_norm(parameter)]
        norms += _step_norms(optimizer, optimizer.param_groups[index], parameter, gradient)
    values = torch.stack([norm.float() for norm in norms]).tolist()  # the only transfer from the device
    rows = [values[i : i + 4] for i in range(0, len(values), 4)]

    figures: dict[str, float] = {}
    for index, group in enumerate(optimizer.param_groups):
        of_group = [row for (i, _, _), row in zip(learning, rows, strict=True) if i == index]
        if of_group:
            grad_norm, weight_norm, step_norm, _ = (
                math.hypot(*column) for column in zip(*of_group, strict=True)
            )
            label = str(group.get("name") or f"group {index}").replace(" ", "_")
            figures[f"grad_norm/{label}"] = grad_norm / clip_ratio
            figures[f"update_ratio/{label}"] = step_norm / weight_norm if weight_norm else math.nan

    relative_updates, idle = dict[str, float](), set[str]()
    for (_, parameter, _), (grad_norm, weight_norm, _, learned_norm) in zip(learning, rows, strict=True):
        if parameter.dim() > 1 and weight_norm:
            name = names.get(parameter, "?")
            relative_updates[name] = learned_norm / weight_norm
            if not grad_norm:
                idle.add(name)
    return UpdateStatistics(figures, relative_updates, frozenset(idle))


def _check_supported(optimizer: Optimizer) -> None:
    options = [name for name in _UNSUPPORTED_OPTIONS for group in optimizer.param_groups if group.get(name)]
    if options or not isinstance(optimizer, AdamW | SGD):
        found = type(optimizer).__name__ + "".join(f" with {name}=True" for name in dict.fromkeys(options))
        raise TrainingError(
            f"the step of this optimizer cannot be computed ahead: {found}. Hint: use torch.optim.AdamW or"
            f" torch.optim.SGD, without {', '.join(_UNSUPPORTED_OPTIONS)}"
        )


def _step_norms(
    optimizer: Optimizer, group: dict[str, Any], parameter: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """Norms of a parameter's step, and of the part of it that the gradient causes: two scalars."""
    state = optimizer.state.get(parameter, {})  # not [parameter]: that would create an empty state
    lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
    if isinstance(optimizer, SGD):
        return _sgd_step_norms(group, state, lr, parameter, gradient)
    update = _adam_update(group, state, lr, gradient)
    learned = torch.linalg.vector_norm(update)
    if not weight_decay:
        return learned, learned
    return torch.linalg.vector_norm(update.add_(parameter, alpha=lr * weight_decay)), learned


def _adam_update(group: dict[str, Any], state: dict[str, Any], lr: float, gradient: Tensor) -> Tensor:
    """What AdamW will subtract from a parameter because of its gradient, in a new tensor of the parameter's
    shape.

    The formulas are those of the paper (Loshchilov and Hutter 2019, algorithm 2) as ``torch.optim`` places
    epsilon, applied to the state before the step.
    """
    if not state:  # first step of this parameter: the corrected averages are the gradient and its square
        return (gradient / gradient.abs().add_(group["eps"])).mul_(lr)
    beta1, beta2 = group["betas"]
    average = torch.lerp(state["exp_avg"], gradient, 1 - beta1)
    denominator = (state["exp_avg_sq"] * beta2).addcmul_(gradient, gradient, value=1 - beta2)
    step = state["step"] + 1  # a tensor, on the device with fused=True; so are the bias corrections
    denominator.div_(_bias_correction(beta2, step)).sqrt_().add_(group["eps"])
    return average.div_(denominator).mul_(lr / _bias_correction(beta1, step))


def _bias_correction(beta: float, step: Tensor) -> Tensor | float:
    """``1 - beta ** step``, accurate in float32 even if ``beta ** step`` is close to 1."""
    return -torch.expm1(step * math.log(beta)) if beta else 1.0


def _sgd_step_norms(
    group: dict[str, Any], state: dict[str, Any], lr: float, parameter: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """As ``_step_norms``. The gradient's part is ``lr * gradient``, as without momentum and weight decay."""
    direction = gradient.add(parameter, alpha=float(group["weight_decay"]))
    buffer = state.get("momentum_buffer")
    if group["momentum"] and buffer is not None:
        direction.mul_(1 - group["dampening"]).add_(buffer, alpha=group["momentum"])
    return lr * torch.linalg.vector_norm(direction), lr * torch.linalg.vector_norm(gradient)
