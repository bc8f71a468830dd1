"""What is derived from parameters: made once, made anew when they change, and never part of a module."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from toolkit.models.derived import derived, forget, needs_gradient


class Doubled(nn.Linear):
    """Uses twice its weight, and counts how often that was made."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.made = 0

    def value(self, key: str = "") -> Tensor:
        def make() -> Tensor:
            self.made += 1
            return self.weight * 2

        return derived(self, (self.weight,), key, make)


def test_it_is_made_once_and_without_a_gradient() -> None:
    layer = Doubled()
    first = layer.value()
    assert layer.value() is first
    assert layer.made == 1
    assert not first.requires_grad
    assert torch.equal(first, layer.weight * 2)


@torch.no_grad()
def _add(layer: nn.Linear) -> None:
    layer.weight.add_(1)


def _step(layer: nn.Linear) -> None:
    layer.weight.grad = torch.ones_like(layer.weight)
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


def _load(layer: nn.Linear) -> None:
    layer.load_state_dict(nn.Linear(3, 2).state_dict())


def _replace(layer: nn.Linear) -> None:
    layer.weight = nn.Parameter(torch.ones(2, 3))


def _data(layer: nn.Linear) -> None:
    layer.weight.data = torch.ones(2, 3)


@pytest.mark.parametrize("change", [_add, _step, _load, _replace, _data, nn.Linear.double])
def test_it_is_made_anew_when_a_parameter_changes(change: Callable[[nn.Linear], object]) -> None:
    layer = Doubled()
    layer.value()
    change(layer)
    assert torch.equal(layer.value(), layer.weight * 2)
    assert layer.made == 2


def test_another_key_is_another_value_and_one_is_kept() -> None:
    layer = Doubled()
    for key, made in (("a", 1), ("a", 1), ("b", 2), ("b", 2), ("a", 3)):
        layer.value(key)
        assert layer.made == made


def test_what_is_forgotten_is_freed_and_made_anew() -> None:
    layer = Doubled()
    value = weakref.ref(layer.value())
    forget(layer)
    gc.collect()
    assert value() is None
    layer.value()
    assert layer.made == 2
    forget(nn.Linear(1, 1))  # nothing is kept for it, and nothing happens


def test_it_goes_with_its_module_and_is_no_part_of_it() -> None:
    layer = Doubled()
    value = weakref.ref(layer.value())
    assert list(layer.state_dict()) == ["weight", "bias"]
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other.value()
        assert other.made == 2, "a copy makes its own"
    assert value() is not None
    del layer, other
    gc.collect()
    assert value() is None


def test_tensors_of_inference_mode_are_never_kept() -> None:
    """They do not count what is written to them."""
    with torch.inference_mode():
        layer = Doubled()
    layer.value()
    layer.value()
    assert layer.made == 2


def test_it_is_made_without_autocast() -> None:
    layer = Doubled()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = derived(layer, (layer.weight,), "", lambda: layer.weight @ layer.weight.T)
    assert value.dtype == torch.float32


def test_gradients_are_needed_where_they_are_on_and_asked_for() -> None:
    learns, fixed = torch.ones(1, requires_grad=True), torch.ones(1)
    assert needs_gradient(fixed, None, learns)
    assert not needs_gradient(fixed, None)
    assert not needs_gradient()
    with torch.no_grad():
        assert not needs_gradient(learns)
