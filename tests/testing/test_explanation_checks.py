"""The checks of ``Explainable`` find the faults that are planted for them, and pass where there are none."""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from toolkit import Explainable, Model, Prediction, Sample, Target
from toolkit.testing import ModelCase
from toolkit.testing.explanation_checks import layers_have_maps, scores_have_gradients
from toolkit.types import Size


class Explained(Model, Explainable):
    """Explains its classes of pixels, rightly or wrongly."""

    def __init__(self, fault: str, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.fault, self.conv = fault, nn.Conv2d(3, 4, 3, padding=1)
        self.last, self.idle = nn.Conv2d(4, len(classes), 1), nn.Conv2d(3, 4, 1)
        self.flat = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images / 255)
        if self.fault == "twice":
            maps = maps + self.conv(images / 255)
        self.flat(maps)
        logits: Tensor = self.last(maps.tanh())
        return logits

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        return [
            Prediction(each.id, each.size, self(each.image[None]).argmax(1)[0].to(torch.uint8))
            for each in samples
        ]

    def score(self, images: Tensor, target: Target) -> Tensor:
        assert target.label is not None
        if self.fault == "rounds":
            images = images.to(torch.uint8).float()
        found = self(images)[:, target.label].mean((1, 2))
        if self.fault == "detached":
            return found.detach()
        if self.fault == "batch":
            return found - found.mean() / 2
        if self.fault == "infinite":
            return found / 0
        return found.mean() if self.fault == "one number" else found

    def layers(self) -> tuple[str, ...]:
        named = {"missing": "nowhere", "idle": "idle", "flat": "flat", "unused": "flat", "none": ""}
        name = named.get(self.fault, "conv")
        return (name,) if name else ()

    def maps_in_image(self, maps: Tensor, size: Size) -> Tensor:
        return maps[:, 1:] if self.fault == "shape" else super().maps_in_image(maps, size)


class Made(ModelCase):
    """The case of a plugin whose model is replaced."""

    def build(self, classes: Sequence[str] | None = None, *, seed: int = 0) -> Model:
        torch.manual_seed(0)
        return Explained(str(self.settings["fault"]), self.classes).eval()


def made(fault: str) -> ModelCase:
    return Made("unet", {"fault": fault})


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "rounds",
            "the gradient of the score .* is missing, 0 everywhere, or not finite. Hint: do not round",
        ),
        ("detached", "the score has no gradient. Hint: compute it without torch.no_grad"),
        ("batch", "by itself and .* in a batch of two. Hint: it must depend on each image alone"),
        ("infinite", "expected a finite number"),
        ("one number", r"returned torch.float32 \[\] for one image; expected floating \[1\]"),
    ],
)
def test_wrong_scores_are_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        scores_have_gradients(made(fault))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "layers names 'nowhere', which is no module"),
        ("idle", "layers names 'idle', but the layer 'idle' runs never"),
        ("twice", "runs 2 times for an image"),
        ("flat", r"returns \[1, \d+\]; expected feature maps"),
        ("none", "expected a tuple of names of modules, the default first"),
        ("shape", "maps_in_image returned"),
    ],
)
def test_wrong_layers_are_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        layers_have_maps(made(fault))


def test_a_model_without_faults_passes() -> None:
    scores_have_gradients(made(""))
    layers_have_maps(made(""))


def test_models_that_do_not_explain_are_skipped() -> None:
    windowed = ModelCase(str(Path(__file__).resolve().parents[1] / "support" / "windowed.py"))
    for check in (scores_have_gradients, layers_have_maps):
        with pytest.raises(unittest.SkipTest, match="does not declare the capability Explainable"):
            check(windowed)
