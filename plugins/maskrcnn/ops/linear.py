"""A fully connected layer over the features of regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models.derived import derived, forget, needs_gradient


def linear(regions: Tensor, layer: nn.Linear) -> Tensor:
    """``layer(regions.flatten(1))`` of regions ``[R, C, S, S]`` in channels-last order, without moving their
    channels.

    The columns of the weight are moved instead, once, where no gradient is wanted.
    """
    if needs_gradient(regions, layer.weight, layer.bias) or regions.device.type != "cpu":
        forget(layer)
        flat: Tensor = layer(regions.flatten(1))
        return flat
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else layer.weight.dtype

    def reorder() -> Tensor:
        return layer.weight.view(-1, *regions.shape[1:]).permute(0, 2, 3, 1).flatten(1).to(dtype)

    weight = derived(layer, [layer.weight], (dtype, regions.shape[1:]), reorder)
    return F.linear(regions.permute(0, 2, 3, 1).flatten(1), weight, layer.bias)
