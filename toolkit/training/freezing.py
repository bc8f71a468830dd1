"""Transfer learning: parts of a model that do not learn, or not yet, or at a rate of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from toolkit.errors import TrainingError
from toolkit.models.parts import select


class Freezing:
    """The parts of a model that do not learn, until they are thawed.

    A module whose parameters are all frozen (or, where it has none, its buffers) is held in eval mode with
    everything inside, so that BatchNorm uses and keeps its statistics and dropout drops nothing.

    Args:
        model: the whole model; nothing happens to it yet.
        patterns: see ``toolkit.models.parts``.

    Raises:
        ConfigError: when a pattern stands for nothing.
    """

    def __init__(self, model: nn.Module, patterns: Sequence[str]) -> None:
        self.model = model
        chosen = select(model, patterns, "train.freeze")
        self.parameters = [p for p in model.parameters() if id(p) in chosen and p.requires_grad]
        self.modules = [module for module in model.modules() if _lies_in(chosen, module)]
        self.holds = False

    def hold(self) -> None:
        """Freeze; call it again when the model was put in training mode.

        Raises:
            TrainingError: when nothing is left to learn.
        """
        self.holds = True
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        for module in self.modules:
            module.eval()
        if self.parameters and not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise TrainingError(
                "train.freeze leaves nothing to learn: everything is frozen. Repair: leave a part out of it"
            )

    def thaw(self) -> None:
        """Let learn again what did before, and put the model in training mode."""
        self.holds = False
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.model.train()


def _lies_in(chosen: set[int], module: nn.Module) -> bool:
    tensors: list[Tensor] = [*module.parameters()] or [*module.buffers()]
    return bool(tensors) and all(id(tensor) in chosen for tensor in tensors)


def with_own_rates(
    groups: Sequence[dict[str, Any]], model: nn.Module, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Parameter groups of an optimizer, with those apart that learn at a multiple of their group's rate.

    Args:
        groups: with ``params`` and ``lr``.
        model: whose parameters they are.
        factors: pattern -> multiple; where several stand for a parameter, the last one counts.

    Raises:
        ConfigError: when a pattern stands for nothing.
    """
    pattern_of = {
        tensor: pattern for pattern in factors for tensor in select(model, [pattern], "train.lr_factors")
    }
    split = [{**group, "params": [p for p in group["params"] if id(p) not in pattern_of]} for group in groups]
    for pattern, factor in factors.items():
        for group in groups:
            params = [p for p in group["params"] if pattern_of.get(id(p)) == pattern]
            split.append(
                {
                    **group,
                    "params": params,
                    "lr": group["lr"] * factor,
                    "name": f"{pattern} {group.get('name', '')}".rstrip(),
                }
            )
    return [group for group in split if group["params"]]
