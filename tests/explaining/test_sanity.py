"""Random weights: which layers get them, in which order, and what becomes of the map."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from toolkit.explaining.sanity import (
    check_sanity,
    last_layers_first,
    map_correlation,
    randomize,
)


class Net(nn.Module):
    """Its layers do not run in the order in which they are defined, and one does not run at all."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(8, 1, 3, padding=1)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.unused = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images).relu())


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net().eval()
    net.first[1].running_var.copy_(torch.rand(8) + 0.5)
    return net


PHOTO = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))


def learned_map(net: Net) -> Tensor:
    with torch.no_grad():
        return net(PHOTO)[0, 0]


def edges(net: Net) -> Tensor:
    return PHOTO[0].sum(0)


def test_layers_come_in_the_order_of_running(net: Net) -> None:
    expected = ["last", "first.1", "first.0", "unused"]
    assert last_layers_first(net, lambda model: model(PHOTO)) == expected
    assert last_layers_first(net) == ["unused", "first.1", "first.0", "last"]
    assert not any(module._forward_pre_hooks for module in net.modules())


class Scaled(nn.Module):
    """A layer without an initialization of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(30.0).view(5, 6))
        self.one = nn.Parameter(torch.ones(1))
        self.inner = nn.Linear(2, 2)
        self.register_buffer("mean", torch.arange(40.0))
        self.register_buffer("count", torch.arange(40))


def test_layers_are_initialized_as_before_training(net: Net) -> None:
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    for layer in net.first:
        randomize(layer, 7)
    assert torch.equal(state, torch.get_rng_state())
    after = net.state_dict()
    assert not torch.equal(before["first.0.weight"], after["first.0.weight"])
    assert bool((after["first.1.running_var"] == 1).all())
    assert torch.equal(before["last.weight"], net.last.weight)
    again = nn.Conv2d(3, 8, 3)
    randomize(again, 7)
    assert torch.equal(again.weight, net.first[0].weight)


def test_other_layers_are_shuffled() -> None:
    layer = Scaled()
    before = copy.deepcopy(layer.state_dict())
    randomize(layer, 0)
    after = layer.state_dict()
    for name in ("scale", "mean"):
        assert not torch.equal(before[name], after[name])
        assert torch.equal(before[name].flatten(), after[name].flatten().sort().values)
    for name in ("one", "count", "inner.weight", "inner.bias"):
        assert torch.equal(before[name], after[name])


def test_a_map_of_what_was_learned_passes_and_one_of_edges_does_not(net: Net) -> None:
    before = copy.deepcopy(net.state_dict())
    learned, fixed = check_sanity(net, learned_map), check_sanity(net, edges)
    assert learned.passed
    assert not fixed.passed
    assert fixed.correlation == pytest.approx(1)
    assert [stage.layer for stage in learned.stages] == [""]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_cascading_starts_at_the_last_layer_and_ends_with_all(net: Net) -> None:
    found = check_sanity(net, learned_map, run=lambda model: model(PHOTO), stages=4)
    assert [stage.layer for stage in found.stages] == ["last", "first.1", "first.0", "unused"]
    assert found.correlation == check_sanity(net, learned_map, run=lambda model: model(PHOTO)).correlation
    two = check_sanity(net, learned_map, run=lambda model: model(PHOTO), stages=2)
    assert [stage.layer for stage in two.stages] == ["first.1", "unused"]
    many = check_sanity(net, learned_map, stages=99)
    assert len(many.stages) == 4


def test_the_known_map_is_not_computed_again(net: Net) -> None:
    calls: list[Net] = []

    def explain(model: Net) -> Tensor:
        calls.append(model)
        return learned_map(model)

    check_sanity(net, explain, original=learned_map(net))
    assert len(calls) == 1
    assert calls[0] is not net


def test_a_map_that_becomes_constant_has_lost_its_target() -> None:
    assert map_correlation(torch.rand(5, 5), torch.zeros(5, 5)) == 0


def test_large_maps_are_compared_in_cells() -> None:
    values = torch.rand((1200, 1100), generator=torch.Generator().manual_seed(0))
    assert map_correlation(values, values) == pytest.approx(1)
    assert abs(map_correlation(values, values.flip(0))) < 0.01


def test_a_model_without_weights_changes_nothing() -> None:
    found = check_sanity(nn.Identity(), lambda model: torch.arange(9.0).view(3, 3))
    assert found.correlation == pytest.approx(1)
