"""What methods get: images, scores and layers of the model inside a wrapper."""

from __future__ import annotations

import pytest
import torch
from support.explained import Fixed, image, sample, semantic
from support.small_settings import MODELS

from toolkit import Instances, Target
from toolkit.errors import UsageError
from toolkit.explaining.subject import Subject
from toolkit.models.prompted import PromptedModel

CLASS = Target("class", 1)


def test_images_have_the_values_of_pixels_and_the_models_precision() -> None:
    given = Subject(semantic(), sample(), CLASS)
    assert given.images().dtype == torch.float32
    assert torch.equal(given.images()[0], image().float())
    assert Subject(semantic().double(), sample(), CLASS).images().dtype == torch.float64
    assert Subject(semantic().bfloat16(), sample(), CLASS).images().dtype == torch.float32
    given.images().zero_()
    assert torch.equal(given.sample.image, image()), "the sample stays"


def test_the_layer_is_the_models_choice_or_the_one_that_is_named() -> None:
    assert Subject(semantic(), sample(), CLASS).chosen_layer() == "network.tanh"
    assert Subject(semantic(), sample(), CLASS, "relu").chosen_layer() == "network.relu"


def test_a_model_without_gradients_is_refused() -> None:
    model = Fixed(Instances.empty((4, 4), with_scores=True))
    with pytest.raises(UsageError, match="this model has no gradients to look at"):
        _ = Subject(model, sample(), CLASS).explainable


def test_a_wrapper_passes_the_capability_of_the_model_inside_it_through() -> None:
    inner = MODELS["sam2"].build()
    given = Subject(PromptedModel(inner, None), sample(), CLASS)
    assert given.network is inner
    assert given.chosen_layer() == inner.layers()[0]
