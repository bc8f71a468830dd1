"""Class activation maps equal their definitions, and captum's Grad-CAM."""

from __future__ import annotations

import pytest
import torch
from support.explained import Pooled, image, sample, semantic
from support.small_settings import MODELS
from torch.nn import functional as F

from toolkit import Target
from toolkit.errors import UsageError
from toolkit.explaining.cams import cam, gradcam, layercam
from toolkit.explaining.subject import Subject
from toolkit.testing import ModelCase

CLASS = Target("class", 1)


def test_cam_is_the_weighted_sum_of_the_last_maps() -> None:
    model = Pooled().requires_grad_(False)
    found = cam(Subject(model, sample(), CLASS))
    assert found.layer == "features"
    maps = model.features(image()[None] / 255)
    summed = sum(
        weight * channel for weight, channel in zip(model.classes_layer.weight[1], maps[0], strict=True)
    )
    wanted = F.interpolate(summed[None, None], (24, 36), mode="bilinear", align_corners=False)[0, 0]
    assert float((found.values - wanted).abs().max()) <= 1e-6


def test_cam_of_a_published_architecture() -> None:
    """A ResNet of timm ends in global average pooling and one linear layer, whatever their names."""
    case = ModelCase("classifier", {"architecture": "resnet10t", "size": [64, 64]})
    model = case.build().requires_grad_(False)
    network = model.network
    found = cam(Subject(model, sample(height=64, width=64), CLASS))
    assert found.layer == "network.layer4"
    with torch.no_grad():
        maps = network.forward_features(model.network_input(image(height=64, width=64)[None]))
        summed = torch.einsum("c,chw->hw", network.fc.weight[1], maps[0])
    wanted = F.interpolate(summed[None, None], (64, 64), mode="bilinear", align_corners=False)[0, 0]
    assert float((found.values - wanted).abs().max()) <= 1e-6 * max(1.0, float(wanted.abs().max()))
    with torch.no_grad():
        logit = float(model.score(image(height=64, width=64)[None].float(), CLASS))
    mean = float(summed.mean() + network.fc.bias[1])
    assert mean == pytest.approx(logit, rel=1e-4), "the mean of the map is the logit, up to the bias"


@pytest.mark.parametrize("name", ["semantic", "simple"])
def test_cam_refuses_networks_that_end_otherwise(name: str) -> None:
    model = semantic() if name == "semantic" else MODELS["classifier"].build()
    with pytest.raises(UsageError, match=r"global average pooling and one linear layer.* Hint: use gradcam"):
        cam(Subject(model, sample(), CLASS))


@pytest.mark.parametrize("layer", ["network.tanh", "network.relu", "network.first", "first"])
@pytest.mark.parametrize("target", [CLASS, Target("region", 2, torch.eye(24, 36).bool())])
def test_gradcam_is_captums(layer: str, target: Target) -> None:
    captum = pytest.importorskip("captum.attr")
    model = semantic()
    found = gradcam(Subject(model, sample(), target, layer))
    module = model.get_submodule(found.layer or "")
    theirs = captum.LayerGradCam(lambda images: model.score(images, target), module)
    # captum looks at what the ReLU in place after it leaves of a layer; the layers before it differ in that
    model.network.relu.inplace = False
    attribution = theirs.attribute(image()[None].float(), relu_attributions=True).detach()
    wanted = model.maps_in_image(attribution[:, 0], (24, 36))[0]
    assert float(wanted.max()) > 0
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-7)


def test_gradcam_of_pooled_maps_is_cam_without_its_negative_values() -> None:
    """For networks as in Zhou et al., Grad-CAM is proportional to CAM."""
    given = Subject(Pooled(), sample(), CLASS)
    maps = given.model.features(image()[None] / 255)
    cells = maps.shape[2] * maps.shape[3]
    weights = given.model.classes_layer.weight[1]
    summed = torch.einsum("c,chw->hw", weights, maps[0]).clamp(min=0) / cells
    wanted = F.interpolate(summed[None, None], (24, 36), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(gradcam(given).values, wanted, rtol=1e-4, atol=1e-8)


def test_layercam_weighs_each_cell_by_its_own_gradient() -> None:
    model, target = semantic(), Target("region", 1, torch.eye(24, 36).bool())
    found = layercam(Subject(model, sample(), target, "tanh"))
    network, images = model.network, model.network_input(image()[None])
    maps = network.tanh(network.down(network.relu(network.first(images)))).detach().requires_grad_()
    logits = model._to_grid(network.logits(maps), (24, 36), (24, 36))
    score = logits[0, 1][target.mask].mean()
    (gradient,) = torch.autograd.grad(score, maps)
    wanted = model.maps_in_image((gradient.clamp(min=0) * maps).sum(1).clamp(min=0).detach(), (24, 36))[0]
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-8)
    assert bool((found.values >= 0).all())


def test_layercam_stays_where_the_target_is_and_gradcam_does_not() -> None:
    mask = torch.zeros(24, 36, dtype=torch.bool)
    mask[:8, :8] = True
    given = Subject(semantic(), sample(), Target("region", 1, mask), "network.first")
    assert float(layercam(given).values[16:, 16:].abs().max()) == 0
    assert float(gradcam(given).values[16:, 16:].abs().max()) > 0
