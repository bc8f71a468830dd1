"""Freezing: what stops training, and what stays in eval mode with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.backbone import BackboneSettings, build
from torch import nn

from toolkit.errors import ConfigError, TrainingError
from toolkit.models.freezing import (
    Freezing,
    count_frozen,
    freeze,
    is_frozen,
    keep_frozen_in_eval,
    modules_within,
    unfreeze,
)

CLASSES = ("a", "b")
NAMES = [name for name, _ in build(BackboneSettings(), CLASSES).named_parameters()]


def frozen_names(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


# Parameters


def test_modules_and_parameters_are_frozen_and_unfrozen() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    encoder, neck, head = network.network.encoder, network.network.neck, network.network.head
    freeze(encoder, head.bias)
    assert frozen_names(network) == {
        *(name for name in NAMES if name.startswith("network.encoder.")),
        "network.head.bias",
    }
    assert is_frozen(encoder, head.bias)
    assert is_frozen(encoder[2]), "it has no parameters"
    assert is_frozen()
    assert not is_frozen(head)
    assert not is_frozen(encoder, neck[0].weight)
    assert all(module.training for module in network.modules()), "the mode is another matter"
    unfreeze(encoder[0], head)
    assert frozen_names(network) == {
        name for name in NAMES if name.startswith(("network.encoder.1", "network.encoder.4"))
    }


def test_frozen_values_are_counted_but_for_those_not_used_in_training() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    assert count_frozen(network) == 0
    network.untrained = ("encoder.4", "head.bias", "of_another_version")
    assert count_frozen(network) == 0
    freeze(network.network.encoder, network.network.head.bias)
    assert count_frozen(network) == (3 * 4 * 9 + 4) + 8
    network.untrained = ()
    assert count_frozen(network) == (3 * 4 * 9 + 4) + 8 + (4 * 4 * 9 + 4) + 2
    assert count_frozen(network.network.encoder) == (3 * 4 * 9 + 4) + 8 + (4 * 4 * 9 + 4), (
        "any module will do"
    )


# Modes


@given(st.sets(st.sampled_from(NAMES)))
def test_modules_are_kept_in_eval_mode_when_all_their_parameters_are_frozen(frozen: set[str]) -> None:
    """By the names alone: a module is in eval mode if it, or one around it, has parameters and all are
    frozen.
    """
    network: Any = build(BackboneSettings(), CLASSES)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    network.train()
    keep_frozen_in_eval(network)

    def is_all_frozen(module: str) -> bool:
        own = [name for name in NAMES if not module or name.startswith(f"{module}.")]
        return bool(own) and set(own) <= frozen

    for name, module in network.named_modules():
        steps = name.split(".")
        around = ["", *(".".join(steps[:end]) for end in range(1, len(steps) + 1))]
        assert module.training == (not any(map(is_all_frozen, around))), name


def test_batch_statistics_and_activations_of_frozen_parts_stay() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    encoder, images = network.network.encoder, torch.randn(2, 3, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    freeze(encoder)
    network.train()
    encoder(images)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert "network.encoder.1.running_mean" in changed, "requires_grad alone does not keep them"
    network.load_state_dict(before)
    keep_frozen_in_eval(network)
    first, second = network.network(images), network.network(images)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {
        f"network.neck.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert torch.equal(first, second), "nothing is dropped"


def test_modules_within_counts_buffers_only_where_there_are_no_parameters() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False), nn.ReLU(), nn.Sequential())
    parameters, buffers = set(map(id, model.parameters())), set(map(id, model.buffers()))
    assert modules_within(model, parameters) == [model, model[0]]
    assert modules_within(model, buffers) == [model[1]]
    assert modules_within(model, {id(model[0].weight)}) == []


# Parts by name


def test_a_module_is_in_eval_mode_when_all_of_it_is_frozen() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    network.train()
    freezing = Freezing(network, ["encoder", "neck.1.weight"])
    freezing.freeze()
    in_eval = {name for name, module in network.named_modules() if not module.training}
    assert in_eval == {name for name, _ in network.named_modules() if name.startswith("network.encoder")}
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == {
        *(name for name, _ in network.named_parameters() if name.startswith("network.encoder.")),
        "network.neck.1.weight",
    }
    freezing.unfreeze()
    assert all(module.training for module in network.modules())
    assert all(p.requires_grad for p in network.parameters())


def test_a_norm_without_parameters_is_in_eval_mode_when_it_is_named() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    network.train()
    Freezing(network, ["encoder.4.1"]).freeze()
    assert [name for name, module in network.named_modules() if not module.training] == [
        "network.encoder.4.1"
    ]


def test_what_the_plugin_itself_froze_stays_frozen() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    network.network.encoder[0].requires_grad_(False)
    freezing = Freezing(network, ["encoder"])
    freezing.freeze()
    freezing.unfreeze()
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == {
        "network.encoder.0.weight",
        "network.encoder.0.bias",
    }


def test_freezing_everything_or_an_unknown_part_is_refused() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    with pytest.raises(TrainingError, match="model.parts leaves nothing to train: everything is frozen"):
        Freezing(network, ["*"], "model.parts").freeze()
    with pytest.raises(ConfigError, match="train.freeze: no part of the model matches 'heat'"):
        Freezing(network, ["heat"])


def test_freezing_is_active_until_it_ends() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    freezing = Freezing(network, ["head"])
    assert not freezing.is_active
    assert not frozen_names(network)
    freezing.freeze()
    network.train()
    freezing.freeze()
    assert freezing.is_active
    assert not network.network.head.training
    freezing.unfreeze()
    assert not freezing.is_active
