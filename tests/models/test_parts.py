"""Parts of a model by name, and the table of what trains in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.backbone import BackboneSettings, build
from torch import nn

from toolkit.errors import ConfigError
from toolkit.models.freezing import freeze
from toolkit.models.parts import matches, parts_table, select, top_parts, untrained_parameters

CLASSES = ("a", "b")


def names_of(module: nn.Module, chosen: set[int]) -> set[str]:
    return {
        name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if id(tensor) in chosen
    }


def groups_of(model: nn.Module, lr: float = 0.1) -> list[dict[str, Any]]:
    """One group of all that trains, as the optimizer has it."""
    return [{"params": [p for p in model.parameters() if p.requires_grad], "base_lr": lr}]


# Names


class Declared(nn.Module):
    """A network that calls its encoder otherwise."""

    encoder_part = "body.features"

    def __init__(self) -> None:
        super().__init__()
        features = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.body = nn.ModuleDict({"features": features, "features_2": nn.Conv2d(4, 4, 1)})
        self.head = nn.Conv2d(4, 2, 1)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["encoder"], {"body.features.0.weight", "body.features.0.bias"}),
        (["encoder.0"], {"body.features.0.weight", "body.features.0.bias"}),
        (["encoder.?.bias"], {"body.features.0.bias"}),
        (["*", "!encoder"], {"head.weight", "head.bias", "body.features_2.weight", "body.features_2.bias"}),
    ],
)
def test_encoder_stands_for_the_part_that_a_model_declares(patterns: list[str], chosen: set[str]) -> None:
    model = Declared()
    found = names_of(model, select(model, patterns, "train.freeze"))
    assert {name for name in found if not name.startswith("body.features.1")} == chosen


def test_an_unknown_part_says_what_encoder_stands_for() -> None:
    expected = r"matches 'backbone'\. Expected one of: body, head; encoder stands for body\.features"
    with pytest.raises(ConfigError, match=expected):
        select(Declared(), ["backbone"], "train.freeze")


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        (
            "encoder",
            ["encoder.0.weight", "network.encoder.bias", "encoder"],
            ["encoders.0.weight", "decoder.weight", "my_encoder.weight"],
        ),
        (
            "network.encoder",
            ["network.encoder.0.weight", "a.network.encoder.0"],
            ["encoder.0.weight", "network.decoder.encoder.weight"],
        ),
        (
            "layer[12]",
            ["encoder.layer1.0.weight", "layer2"],
            ["encoder.layer3.0.weight", "encoder.layer11.weight"],
        ),
        ("*.bn?", ["encoder.bn1.weight", "a.b.bn2.running_mean"], ["bn1.weight", "encoder.bn10.weight"]),
        (
            "encoder.*.weight",
            ["network.encoder.0.1.weight"],
            ["network.encoder.weight", "network.encoder.0.1.bias"],
        ),
        ("*", ["a", "a.b.c"], []),
    ],
)
def test_patterns_fit_whole_steps_of_a_name_at_any_depth(
    pattern: str, fits: list[str], others: list[str]
) -> None:
    assert [name for name in fits if not matches(pattern, name)] == []
    assert [name for name in others if matches(pattern, name)] == []


@given(st.lists(st.from_regex(r"[a-z_0-9]{1,4}", fullmatch=True), min_size=1, max_size=6), st.data())
def test_every_run_of_steps_fits_and_nothing_else_without_wildcards(
    steps: list[str], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(steps) - 1))
    last = data.draw(st.integers(first + 1, len(steps)))
    assert matches(".".join(steps[first:last]), ".".join(steps))
    other = data.draw(st.from_regex(r"[a-z_0-9]{1,4}", fullmatch=True))
    assert matches(other, ".".join(steps)) == (other in steps)


def test_later_patterns_take_out_again() -> None:
    network = build(BackboneSettings(), CLASSES)
    everything = names_of(network, select(network, ["*"], "train.freeze"))
    assert {name for name, _ in network.named_parameters()} < everything, "buffers are parts, too"
    left = names_of(network, select(network, ["*", "!head", "!encoder.1", "head.bias"], "train.freeze"))
    assert everything - left == {"network.head.weight"} | {
        name for name in everything if name.startswith("network.encoder.1.")
    }


def test_an_unknown_part_is_an_error_that_lists_those_there_are() -> None:
    network = build(BackboneSettings(), CLASSES)
    with pytest.raises(
        ConfigError, match=r"train\.freeze: no part of the model matches 'encodr'; did you mean 'encoder'\?"
    ):
        select(network, ["encodr"], "train.freeze")
    with pytest.raises(
        ConfigError, match=r"matches 'xyz'\. Expected one of: network\.encoder, network\.neck, network\.head$"
    ):
        select(network, ["head", "!xyz"], "train.freeze")
    assert list(top_parts(nn.Sequential(nn.Sequential(nn.Linear(1, 1))))) == ["0.0"]
    assert top_parts(nn.ReLU()) == {}


# The table


def test_the_table_goes_into_parts_of_which_only_some_learns() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    freeze(network.network.encoder[0], network.network.encoder[1].bias)
    lines = [line.split() for line in parts_table(network, groups_of(network)).splitlines()[1:]]
    assert lines == [
        ["network.encoder.0", "0", "112"],
        ["network.encoder.1.weight", "4", "0", "0.1"],
        ["network.encoder.1.bias", "0", "4"],
        ["network.encoder.4", "148", "0", "0.1"],
        ["network.neck", "28", "0", "0.1"],
        ["network.head", "10", "0", "0.1"],
    ]
    deep: Any = nn.Sequential(*(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)) for _ in range(40)))
    for pair in deep:
        freeze(pair[1])
    assert len(parts_table(deep, groups_of(deep)).splitlines()) == 41, "no more detail than fits"


def test_what_is_not_used_in_training_has_a_column_of_its_own() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    freeze(network.network.encoder, network.network.neck[1].bias)
    network.untrained = ("encoder.4", "neck.1.bias", "of_another_version")
    assert names_of(network, untrained_parameters(network)) == {
        "network.encoder.4.0.weight",
        "network.encoder.4.0.bias",
        "network.neck.1.bias",
    }
    table = parts_table(network, groups_of(network)).splitlines()
    assert [line.split() for line in table[1:]] == [
        ["network.encoder", "0", "120", "148"],
        ["network.neck", "24", "0", "4", "0.1"],
        ["network.head", "10", "0", "0", "0.1"],
    ], "only what is frozen by choice divides a part into rows"
    assert table[0].split("  ")[-2:] == ["not used in training", "learning rate"]


def test_what_a_model_trains_against_its_declaration_counts_as_trainable() -> None:
    network: Any = build(BackboneSettings(), CLASSES)
    network.untrained = ("head",)
    *_, head = parts_table(network, groups_of(network)).splitlines()
    assert head.split() == ["network.head", "10", "0", "0.1"]
