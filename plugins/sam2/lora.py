"""Low-rank adapters: linear layers that learn a low-rank correction while their own weights stay frozen.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022 (https://arxiv.org/abs/2106.09685).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN, UP = "lora_down", "lora_up"


class LowRankLinear(nn.Linear):
    """A linear layer with ``weight + scale · up @ down``; ``up`` is initialized to 0, so that it changes
    nothing at first.

    In a state dict, weight and bias keep the names of the replaced layer.

    Args:
        layer: provides weight and bias, which are frozen.
        rank: the rank of the correction.
        alpha: ``scale`` is ``alpha / rank``.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.requires_grad_(False)
        self.scale = alpha / rank
        self.lora_down = nn.Parameter(torch.empty(rank, layer.in_features))
        self.lora_up = nn.Parameter(torch.zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer with its correction."""
        return (
            F.linear(input, self.weight, self.bias)
            + F.linear(F.linear(input, self.lora_down), self.lora_up) * self.scale
        )


def add_adapters(part: nn.Module, names: tuple[str, ...], rank: int, alpha: float) -> None:
    """Add adapters to the linear layers with these names, anywhere in ``part``."""
    for module in list(part.modules()):
        for name, child in list(module.named_children()):
            if name in names and isinstance(child, nn.Linear):
                setattr(module, name, LowRankLinear(child, rank, alpha))


def merged(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ``module`` with the corrections merged into the weights, as without adapters."""
    result = {name: value for name, value in state.items() if name.rpartition(".")[2] not in (DOWN, UP)}
    for name, layer in module.named_modules():
        if isinstance(layer, LowRankLinear):
            up, down = state[f"{name}.{UP}"], state[f"{name}.{DOWN}"]
            result[f"{name}.weight"] = result[f"{name}.weight"] + layer.scale * (up @ down)
    return result
