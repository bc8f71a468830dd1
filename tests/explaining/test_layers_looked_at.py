"""Layers are found by their names, and must return feature maps."""

from __future__ import annotations

import pytest
import torch
from support.explained import Pooled, image, sample, semantic
from torch import Tensor, nn

from toolkit import SemanticModel, Target
from toolkit.errors import UsageError
from toolkit.explaining.cams import gradcam, layercam
from toolkit.explaining.layers import default_layer, layer_name, record_maps
from toolkit.explaining.subject import Subject


def test_the_end_of_a_name_is_enough() -> None:
    model = semantic()
    assert layer_name(model, "tanh") == "network.tanh"
    assert layer_name(model, "network.tanh") == "network.tanh"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("network.tan", "no layer 'network.tan'. Hint: did you mean 'network.tanh'"),
        ("tanhh", "Hint: did you mean 'network.tanh'"),
        ("xyzzy", r"Hint: choose one of network\.tanh, network\.relu$"),
        ("", "no layer ''"),
    ],
)
def test_a_layer_that_is_not_there_names_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        layer_name(semantic(), name)


def test_an_ambiguous_end_lists_the_full_names() -> None:
    model = nn.ModuleDict({"a": nn.Sequential(nn.ReLU()), "b": nn.Sequential(nn.ReLU())})
    with pytest.raises(UsageError, match=r"2 layers are called '0': a\.0, b\.0. Hint: give the full name"):
        layer_name(model, "0")


class Twice(nn.Module):
    """One layer that runs twice, one that never runs, one that the score does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.idle = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.aside, self.flat = nn.Conv2d(3, 3, 1), nn.Flatten()
        self.several = Several()

    def forward(self, images: Tensor) -> Tensor:
        self.aside(images)
        self.flat(images)
        return self.conv(self.conv(self.several(images)[0]))  # type: ignore[no-any-return]


class Several(nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, images]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv", "runs 2 times for an image; expected once"),
        ("idle", "runs never for an image"),
        ("flat", r"returns \[1, \d+\]; expected feature maps"),
        ("several", "returns a list, not feature maps"),
        ("aside", "the score does not depend on the layer 'network.aside'"),
    ],
)
@pytest.mark.parametrize("method", [gradcam, layercam])
def test_layers_without_maps_are_refused(layer: str, message: str, method: object) -> None:
    model = SemanticModel(Twice(), ("a", "b", "c")).eval()
    assert callable(method)
    with pytest.raises(UsageError, match=message):
        method(Subject(model, sample(), Target("class", 1), layer))
    assert not any(module._forward_hooks for module in model.modules()), "no hook is left behind"


def test_a_model_that_names_no_layer_says_so() -> None:
    model = SemanticModel(nn.Conv2d(3, 3, 1), ("a", "b", "c"))
    with pytest.raises(UsageError, match="names no layer with feature maps. Hint: name one with --layer"):
        default_layer(model)
    assert default_layer(Pooled()) == "features"


def test_an_operation_in_place_leaves_the_recorded_maps_as_they_are() -> None:
    model = semantic()
    model.network.relu.inplace = True
    _, maps = record_maps(model, "network.first", lambda: model.logits(image()[None]))
    assert bool((maps < 0).any())
    torch.testing.assert_close(maps, model.network.first(model.network_input(image()[None])))
