"""Gradients in view: how large they are, and how far a step moves the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Look:
    """What one optimizer step did.

    Attributes:
        figures: for the log: ``grad_norm/<group>``, the gradient's norm before clipping, and
            ``update_ratio/<group>``, the norm of the step over that of the weights, for each parameter group
            of the optimizer.
        moves: name of each matrix or kernel that got a gradient -> how far the gradient moved it, relative to
            its norm. What weight decay adds is left out: it moves weights that learn nothing, too.
        idle: those of them whose gradient was exactly zero, as it is of what the batch did not use.
    """

    figures: dict[str, float]
    moves: dict[str, float]
    idle: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Weight:
    """A parameter before the step."""

    name: str
    group: int
    now: nn.Parameter
    before: Tensor
    gradient: Tensor


class GradientView:
    """Looks at single steps: ``before`` them, and ``after`` them. In between it holds a copy of the weights
    that learn.

    Args:
        model: for the names.
        optimizer: its parameter groups are what is looked at.
        decoupled_decay: whether the optimizer decays weights beside the gradient, as AdamW, or as a part of
            it, as SGD.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, *, decoupled_decay: bool) -> None:
        self.optimizer, self.decoupled_decay = optimizer, decoupled_decay
        self.name_of = {id(parameter): name for name, parameter in model.named_parameters()}
        self._weights: list[_Weight] = []

    @torch.no_grad()
    def before(self) -> None:
        """Call it when gradients are unscaled and clipped, and the optimizer has not stepped yet."""
        self._weights = [
            _Weight(self.name_of.get(id(p), "?"), i, p, p.detach().clone(), torch.linalg.vector_norm(p.grad))
            for i, group in enumerate(self.optimizer.param_groups)
            for p in group["params"]
            if p.grad is not None
        ]

    @torch.no_grad()
    def after(self, clip_ratio: float) -> Look:
        """Call it when the optimizer has stepped; ``clip_ratio`` is what clipping multiplied the gradient
        by.
        """
        weights, self._weights = self._weights, []
        if not weights:
            return Look({}, {})
        columns = [[w.gradient for w in weights], [torch.linalg.vector_norm(w.before) for w in weights]]
        columns.append([torch.linalg.vector_norm(w.now - w.before) for w in weights])
        columns.append([self._moved(w) for w in weights])
        norms = torch.stack(
            [torch.stack(column).float() for column in columns]
        ).tolist()  # one transfer from the device
        figures: dict[str, float] = {}
        for i, group in enumerate(self.optimizer.param_groups):
            inside = [k for k, weight in enumerate(weights) if weight.group == i]
            if inside:
                gradient, size, step = (math.hypot(*(column[k] for k in inside)) for column in norms[:3])
                label = str(group.get("name") or f"group {i}").replace(" ", "_")
                figures[f"grad_norm/{label}"] = gradient / clip_ratio
                figures[f"update_ratio/{label}"] = step / size if size else math.nan
        gradients, sizes, _, moved = norms
        moves = {w.name: moved[k] / sizes[k] for k, w in enumerate(weights) if w.now.dim() > 1 and sizes[k]}
        return Look(
            figures,
            moves,
            frozenset(w.name for k, w in enumerate(weights) if w.name in moves and not gradients[k]),
        )

    def _moved(self, weight: _Weight) -> Tensor:
        """The norm of the part of the step that the gradient made, a scalar."""
        group = self.optimizer.param_groups[weight.group]
        if not self.decoupled_decay:
            return float(group["lr"]) * weight.gradient  # of SGD without momentum
        kept = 1 - float(group["lr"] * group["weight_decay"])
        moved: Tensor = torch.linalg.vector_norm(weight.now - kept * weight.before)
        return moved
