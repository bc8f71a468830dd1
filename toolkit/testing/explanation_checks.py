"""Checks of models that declare the capability ``Explainable``."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.explaining.layers import record_maps
from toolkit.explaining.targets import NothingToExplainError, Question, find_target
from toolkit.models.capabilities import Explainable
from toolkit.models.contract import Model, with_gradients
from toolkit.testing.checks import expect, skip
from toolkit.testing.closeness import NUMBERS
from toolkit.testing.model_case import ModelCase
from toolkit.types import Prompts, Sample, Target


def scores_have_gradients(case: ModelCase) -> None:
    """The score of a target is one number per image, finite, independent of the other images, and has a
    gradient with respect to the pixels.
    """
    model = case.build()
    explainable = _explainable(model)
    sample, other = case.samples(2, sizes=[case.size] * 2)
    target = _target(case, model, sample)
    images = _pixels(model, [sample, other])
    with with_gradients():
        single = images[:1].clone().requires_grad_()
        score = explainable.score(single, target)
        expect(
            tuple(score.shape) == (1,) and score.is_floating_point(),
            f"score returned {score.dtype} {list(score.shape)} for one image; expected floating [1]",
        )
        expect(bool(torch.isfinite(score).all()), f"the score is {score.tolist()}; expected a finite number")
        expect(
            score.requires_grad,
            "the score has no gradient. Hint: compute it without torch.no_grad, from floating images",
        )
        (gradient,) = torch.autograd.grad(score.sum(), single, allow_unused=True)
    expect(
        gradient is not None and bool(torch.isfinite(gradient).all()) and bool(gradient.any()),
        "the gradient of the score with respect to the pixels is missing, 0 everywhere, or not finite. Hint:"
        " do not round or detach the images on their way into the network",
    )
    with torch.no_grad():
        together = explainable.score(images, target)
    alike = bool(torch.allclose(together[:1], score.detach(), rtol=NUMBERS, atol=NUMBERS))
    expect(
        tuple(together.shape) == (2,) and alike,
        f"the score of an image is {score.item():g} by itself and {together.tolist()} in a batch of two."
        " Hint: it must depend on each image alone",
    )


def layers_have_maps(case: ModelCase) -> None:
    """Each layer that is worth looking at runs once and returns feature maps on which the score depends,
    and these can be placed in the image.
    """
    model = case.build()
    explainable = _explainable(model)
    (sample,) = case.samples(1)
    target = _target(case, model, sample)
    names = explainable.layers()
    expect(
        isinstance(names, tuple) and bool(names),
        f"layers returned {names!r}; expected a tuple of names of modules, the default first",
    )
    assert isinstance(explainable, torch.nn.Module)  # _explainable checked it
    existing = dict(explainable.named_modules())
    for name in names:
        expect(name in existing, f"layers names {name!r}, which is no module of the model")
        with with_gradients():
            images = _pixels(model, [sample]).requires_grad_()
            compute = partial(explainable.score, images, target)
            try:
                score, maps = record_maps(explainable, name, compute)
            except UsageError as error:
                expect(False, f"layers names {name!r}, but {error}")
            (gradient,) = torch.autograd.grad(score.sum(), maps, allow_unused=True)
        expect(gradient is not None, f"layers names {name!r}, but the score does not depend on it")
        placed = explainable.maps_in_image(maps[:, 0].detach(), sample.size)
        expect(
            tuple(placed.shape) == (1, *sample.size),
            f"maps_in_image returned {list(placed.shape)} for maps of {name!r}; expected {[1, *sample.size]}",
        )


def _explainable(model: Model) -> Explainable:
    found = model.capability(Explainable)
    if found is None:
        skip("the model does not declare the capability Explainable")
    expect(isinstance(found, torch.nn.Module), "the capability Explainable must be declared by a module")
    return found


def _pixels(model: Model, samples: list[Sample]) -> Tensor:
    return torch.stack([sample.image for sample in samples]).float().to(model.device)


def _target(case: ModelCase, model: Model, sample: Sample) -> Target:
    """What the model finds, or else the truth: with random weights it may find nothing."""
    truth = sample.instances
    promptable = "answers" in case.task.predicts
    box = None
    if promptable:
        assert truth is not None  # samples of a promptable task have objects
        x0, y0, x1, y1 = truth.boxes_xyxy[0].tolist()
        box = (x0, y0, x1, y1)
    try:
        prediction = None if promptable else case.predict(model, [sample])[0]
        with torch.no_grad():
            return find_target(Question(box=box), model, sample, prediction)
    except NothingToExplainError:
        if truth is None or not len(truth):
            return Target("class", 0)
    mask = None if truth.masks is None else truth.masks[[0]].dense()[0].bool()
    if promptable:
        return Target("prompt", mask=mask, prompts=Prompts(boxes_xyxy=truth.boxes_xyxy[:1]))
    return Target("object", int(truth.labels[0]), mask, truth.boxes_xyxy[0])
