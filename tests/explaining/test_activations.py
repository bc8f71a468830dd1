"""The feature maps of a layer and the kernels of the first one are those of the network."""

from __future__ import annotations

import pytest
import torch
from support.explained import Fixed, image, sample, semantic
from support.small_settings import MODELS

from toolkit import Instances, Predictor
from toolkit.errors import UsageError
from toolkit.explaining.activations import activations, check_layer, first_kernels
from toolkit.models.prompted import PromptedModel


def predictor(name: str = "") -> Predictor:
    return Predictor(MODELS[name].build() if name else semantic(), device="cpu")


def test_the_maps_are_those_of_the_prediction() -> None:
    given = predictor()
    name, maps = activations(given, sample(), "relu")
    assert name == "network.relu"
    network = given.model.network
    with torch.no_grad():
        wanted = network.relu(network.first(given.model.network_input(image()[None])))[0]  # type: ignore
    torch.testing.assert_close(maps, wanted)
    assert not maps.requires_grad


def test_layers_of_an_instance_model_and_of_one_inside_a_wrapper() -> None:
    name, maps = activations(predictor("maskrcnn"), sample(height=64, width=64), "res3")
    assert name == "backbone.bottom_up.res3"
    assert maps.shape[1:] == (8, 8)
    wrapped = Predictor(PromptedModel(MODELS["sam2"].build(), None), device="cpu")
    name, maps = activations(wrapped, sample(), "convs.1.conv")
    assert name == "network.image_encoder.neck.convs.1.conv"
    assert maps.shape[1:] == (4, 4)


def test_a_layer_that_is_not_there_or_has_no_maps_is_refused() -> None:
    given = predictor()
    with pytest.raises(UsageError, match="did you mean 'network.relu'"):
        check_layer(given, "relux")
    with pytest.raises(UsageError, match="the name of the layer is empty"):
        check_layer(given, "")
    assert check_layer(given, "relu") == "network.relu"
    with pytest.raises(UsageError, match=r"returns \[\d+, \d+\]; expected feature maps"):
        activations(predictor("maskrcnn"), sample(height=64, width=64), "cls_score")


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_kernels_are_in_the_order_of_the_images_colors(order: str) -> None:
    case = MODELS["maskrcnn"]
    settings = {**case.settings, "input": {**case.settings["input"], "format": order}}
    model = type(case)(case.plugin, settings).build()
    found = first_kernels(Predictor(model, device="cpu"))
    assert found is not None
    name, kernels = found
    assert name == "backbone.bottom_up.stem.conv1"
    weight = model.get_submodule(name).weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(kernels, weight.detach() if order == "RGB" else weight.detach().flip(1))


def test_a_model_without_such_a_layer_has_no_kernels() -> None:
    model = Fixed(Instances.empty((4, 4), with_scores=True))
    assert first_kernels(Predictor(model, device="cpu")) is None
