"""Parts of a model, chosen by the names of their tensors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from toolkit.errors import ConfigError
from toolkit.models.parts import matches, select, top_parts


def model() -> nn.Module:
    """Three parts below a module that only wraps them."""
    parts = {
        "encoder": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        "neck": nn.Conv2d(4, 4, 1),
        "head": nn.Conv2d(4, 2, 1),
    }
    return nn.ModuleDict({"network": nn.ModuleDict(parts)})


def names_of(module: nn.Module, chosen: set[int]) -> set[str]:
    return {
        name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if id(tensor) in chosen
    }


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
    network = model()
    everything = names_of(network, select(network, ["*"], "train.freeze"))
    assert {name for name, _ in network.named_parameters()} < everything, "buffers are parts, too"
    left = names_of(network, select(network, ["*", "!head", "!encoder.1", "head.bias"], "train.freeze"))
    assert everything - left == {"network.head.weight"} | {
        name for name in everything if name.startswith("network.encoder.1.")
    }


def test_an_unknown_part_is_an_error_that_lists_those_there_are() -> None:
    network = model()
    with pytest.raises(
        ConfigError, match=r"train\.freeze: no part of the model is called 'encodr'; did you mean 'encoder'\?"
    ):
        select(network, ["encodr"], "train.freeze")
    with pytest.raises(
        ConfigError, match=r"called 'xyz'\. There are: network\.encoder, network\.neck, network\.head$"
    ):
        select(network, ["head", "!xyz"], "train.freeze")
    assert list(top_parts(nn.Sequential(nn.Sequential(nn.Linear(1, 1))))) == ["0.0"]
    assert top_parts(nn.ReLU()) == {}
