"""Explains images from Python: ``toolkit.explain``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from toolkit.checkpoints import RunLike
from toolkit.errors import InvalidDataError
from toolkit.explaining.methods import DEFAULT, check_possible, find_method
from toolkit.explaining.subject import Effort, Map, Subject
from toolkit.explaining.targets import Corners, Point, Question, class_index, find_target
from toolkit.explaining.types import Explanation
from toolkit.inference.image_likes import ImageLike
from toolkit.inference.predictor import Precision, Predictor, load
from toolkit.models.capabilities import Promptable
from toolkit.models.contract import with_gradients
from toolkit.runtime.devices import autocast
from toolkit.types import Sample, Target, TargetPart


class Explainer:
    """Explains images with one model, method and question.

    Args:
        predictor: the model, with its device and precision.
        question: what to explain.
        method: name of the method.
        layer: the layer to look at, by its name or the end of it; None for the model's default.
        effort: how much to compute.

    Raises:
        UsageError: when there is no such method, the model lacks what it needs, or the model has no such
            class or layer.
    """

    def __init__(
        self,
        predictor: Predictor,
        question: Question | None = None,
        *,
        method: str = DEFAULT,
        layer: str | None = None,
        effort: Effort | None = None,
    ) -> None:
        self.predictor, self.question = predictor, question or Question()
        self.method, self.layer, self.effort = find_method(method), layer, effort or Effort()
        model = predictor.model
        check_possible(self.method, model, layer)
        self.is_promptable = model.capability(Promptable) is not None
        if self.question.class_name is not None and not self.is_promptable:
            class_index(self.question.class_name, model.classes)
        if self.method.has_layer:
            self.layer = _full_name(predictor, layer)

    def target(self, sample: Sample) -> Target:
        """What is explained in an image.

        Raises:
            UsageError, NothingToExplainError: as ``find_target``.
        """
        predictor, prediction = self.predictor, None
        if not self.is_promptable:
            (prediction,) = predictor.predict_samples([sample])
        with predictor.computing():
            weights: Mapping[str, str] = predictor.about.get("start_weights", {})
            return find_target(self.question, predictor.model, sample, prediction, start_weights=weights)

    def explain(self, sample: Sample) -> Explanation:
        """The map of one image.

        Raises:
            UsageError, NothingToExplainError: as ``find_target``.
            InvalidDataError: when the score or the map is not finite.
        """
        return self.explain_target(sample, self.target(sample))

    def explain_target(self, sample: Sample, target: Target) -> Explanation:
        """The map of one image for a target that was found before.

        Raises:
            InvalidDataError: when the score or the map is not finite.
        """
        subject = Subject(self.predictor.model, sample, target, self.layer, self.effort)
        found = self.compute(subject)
        values = found.values.detach().float().cpu().contiguous()
        score = self._score(subject, found)
        if not math.isfinite(score) or not bool(torch.isfinite(values).all()):
            raise InvalidDataError(
                f"the explanation of {sample.id!r} has NaN or infinite values. Hint: use the precision fp32,"
                " and check the model's weights"
            )
        figures = {**found.figures, **shares(values, target)}
        return Explanation(sample.id, self.method.name, target, found.layer, values, score, figures)

    def compute(self, subject: Subject) -> Map:
        """What the method finds, with the device and precision of the predictor."""
        with with_gradients(), autocast(self.predictor.device, self.predictor.precision):
            return self.method.compute(subject)

    def _score(self, subject: Subject, found: Map) -> float:
        if found.score is not None:
            return found.score
        with self.predictor.computing():
            return float(subject.score(subject.images()))


def _full_name(predictor: Predictor, layer: str | None) -> str:
    return Subject(predictor.model, _NO_IMAGE, _NO_TARGET, layer).chosen_layer()


_NO_IMAGE = Sample("no image", torch.zeros(3, 1, 1, dtype=torch.uint8))
_NO_TARGET = Target("class", 0)


def shares(values: Tensor, target: Target) -> dict[str, float]:
    """How much of a map lies on its target: ``inside``, the fraction of the sum of its positive values that
    lies inside the target's mask (or its box, if it has no mask), and ``area``, the fraction of the image
    that this covers. A map without positive values has none inside; a target without a place, such as a
    class of the whole image, has no such figures.
    """
    place = place_of(target, values)
    if place is None:
        return {}
    positive = values.clamp(min=0).double()
    total = float(positive.sum())
    inside = float(positive[place].sum()) / total if total else 0.0
    return {"inside": inside, "area": float(place.double().mean())}


def place_of(target: Target, like: Tensor) -> Tensor | None:
    """The pixels of a target, bool ``[H, W]`` as ``like``; None if it has no place in the image."""
    if target.mask is not None:
        return target.mask
    if target.box_xyxy is None:
        return None
    x0, y0, x1, y1 = (round(value) for value in target.box_xyxy.tolist())
    place = torch.zeros(like.shape, dtype=torch.bool)
    place[max(0, y0) : max(y1, y0 + 1), max(0, x0) : max(x1, x0 + 1)] = True
    return place


def explain(
    run: Predictor | RunLike,
    images: ImageLike | list[Any] | tuple[Any, ...],
    *,
    method: str = DEFAULT,
    class_name: str | None = None,
    object: int | None = None,
    point: Point | None = None,
    box: Corners | None = None,
    part: TargetPart = "class",
    layer: str | None = None,
    effort: Effort | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "fp32",
) -> Explanation | list[Explanation]:
    """Explain what a model predicts in one image, or in a list of images::

        explanation = toolkit.explain("runs/unet-msrc", "photo.jpg", class_name="cow")
        explanation.map  # float32 [H, W]

    Without a question, it explains what is most prominent: the class that covers the most pixels besides the
    background, the most certain object, or the predicted class of the image. A promptable model needs a point
    or a box.

    Args:
        run: a ``Predictor``, or what ``toolkit.load`` takes.
        images: as for ``Predictor.predict``.
        method: ``saliency``, ``smoothgrad``, ``integrated-gradients``, ``cam``, ``gradcam``, ``layercam`` or
            ``drise``.
        class_name: the class to explain; of objects, the most certain one of this class.
        object: position of a detection among the predictions for the image, best first, from 0.
        point: x and y in pixels: the region or object there, or a prompt.
        box: x0, y0, x1 and y1 in pixels: that region, the object that fits it best, or a prompt.
        part: of an object, whether to explain its class or its mask.
        layer: the layer to look at, by its name or the end of it, for methods that look at one.
        effort: how much to compute.
        device, precision: as for ``toolkit.load``; not used with a ``Predictor``, which has its own.

    Returns:
        One explanation for one image, a list for a list, in order.

    Raises:
        UsageError: when the model cannot be asked this, or has no such class or layer.
        NothingToExplainError: when there is no such object or region in an image (an ``InvalidDataError``).
        UnavailableError: when a method needs captum, which is not installed.
    """
    if not isinstance(run, Predictor):
        run = load(run, device=device, precision=precision)
    question = Question(class_name, object, point, box, part)
    explainer = Explainer(run, question, method=method, layer=layer, effort=effort)
    if not isinstance(images, (list, tuple)):
        return explainer.explain(run.sample(images))
    return [explainer.explain(run.sample(image, str(i))) for i, image in enumerate(images)]
