"""Explanations on a GPU are those of the CPU, by every method that needs gradients."""

from __future__ import annotations

import pytest
import torch
from support.explained import image
from support.small_settings import MODELS

from toolkit import Predictor, Prompts, Sample, Target
from toolkit.explaining.front import Explainer
from toolkit.explaining.methods import METHODS
from toolkit.explaining.subject import Effort

# TF32's 10 bits change which values a ReLU lets through, and so the maps of some networks by a third
pytestmark = pytest.mark.usefixtures("plain_fp32")

CASES = [
    pytest.param("classifier", "cpu"),
    *(pytest.param(name, "cuda", marks=pytest.mark.gpu) for name in MODELS),
]
BOX = torch.tensor([6.0, 8.0, 30.0, 40.0])


def target_of(name: str) -> Target:
    mask = torch.zeros(64, 96, dtype=torch.bool)
    mask[8:40, 6:30] = True
    if name == "maskrcnn":
        return Target("object", 1, mask, BOX)
    if name == "sam2":
        return Target("prompt", mask=mask, prompts=Prompts(boxes_xyxy=BOX[None]))
    return Target("class", 1) if name == "classifier" else Target("region", 1, mask)


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "gradcam", "layercam"])
@pytest.mark.parametrize(("name", "device"), CASES)
def test_maps_are_those_of_the_cpu(name: str, device: str, method: str) -> None:
    if MODELS[name].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    if method == "integrated-gradients":
        pytest.importorskip("captum.attr")
    assert method in METHODS
    photo, maps = Sample("photo", image(height=64, width=96)), []
    for where in ("cpu", device):
        predictor = Predictor(MODELS[name].build(), device=where)
        explainer = Explainer(predictor, method=method, effort=Effort(steps=4))
        found = explainer.explain_target(photo, target_of(name))
        assert found.map.device.type == "cpu"
        maps.append(found.map)
    # sums in another order round differently, which gradients amplify
    torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=0.02 * float(maps[0].abs().max()))


@pytest.mark.parametrize(("name", "device"), CASES)
def test_noise_is_repeatable(name: str, device: str) -> None:
    if MODELS[name].manifest.missing_requirements():
        pytest.skip("its packages are not installed")
    pytest.importorskip("captum.attr")
    predictor = Predictor(MODELS[name].build(), device=device)
    explainer = Explainer(predictor, method="smoothgrad", effort=Effort(samples=4))
    photo = Sample("photo", image(height=64, width=96))
    one, other = (explainer.explain_target(photo, target_of(name)).map for _ in range(2))
    torch.testing.assert_close(other, one, rtol=0, atol=1e-3 * float(one.max()))
