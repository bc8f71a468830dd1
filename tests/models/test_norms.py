"""Norms by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from toolkit.models.norms import Norm, group_count, norm_layer, replace_batch_norms


@pytest.mark.parametrize(
    ("channels", "groups"), [(512, 32), (128, 32), (64, 16), (24, 4), (16, 4), (7, 1), (4, 1), (1, 1)]
)
def test_groups_have_four_channels_or_more(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm), ("none", nn.Identity)]
)
def test_every_batch_norm_is_replaced_at_any_depth(norm: Norm, kind: type[nn.Module]) -> None:
    inner = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
    nn.init.zeros_(inner[1].weight)
    network = nn.Sequential(inner, nn.BatchNorm2d(8, affine=False), nn.LayerNorm([8, 4, 4]))
    replace_batch_norms(network, norm)
    assert isinstance(inner[1], kind)
    assert isinstance(network[1], kind)
    assert isinstance(network[2], nn.LayerNorm)
    assert isinstance(norm_layer(norm, 8), kind)
    if norm != "none":
        assert not inner[1].weight.any(), "its learned scale stays what it was"
    assert network(torch.rand(2, 3, 4, 4)).shape == (2, 8, 4, 4)
