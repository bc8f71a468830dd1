"""Explains models that predict a class for each pixel."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import InvalidDataError, UsageError
from toolkit.models.capabilities import Explainable
from toolkit.models.feature_layers import feature_layers, probe
from toolkit.types import Target

_PROBED = 64
"""Height of the image, in pixels, with which layers are found; its width is half as much again."""


def mean_inside(values: Tensor, mask: Tensor | None) -> Tensor:
    """The means ``[B]`` of maps ``[B, H, W]`` over the pixels of a mask, bool ``[H, W]``, or over all if it
    is None.

    Raises:
        InvalidDataError: when the mask has another size, or no pixels.
    """
    if mask is None:
        return values.mean((1, 2))
    if mask.shape != values.shape[1:]:
        raise InvalidDataError(
            f"the target's mask is {list(mask.shape)}, but the images are {list(values.shape[1:])}; expected"
            " the same size. Hint: find a target in each image of its own"
        )
    inside = mask.to(values.device)
    count = int(inside.sum())
    if not count:
        raise InvalidDataError("the target's mask has no pixels. Hint: choose another target")
    return (values * inside).sum((1, 2)) / count


def refuse_kind(model: object, target: Target, explains: str) -> UsageError:
    """The error for a kind of target that a model does not have."""
    return UsageError(
        f"this model cannot explain a target of kind {target.kind!r}: it explains {explains}."
        " Hint: choose such a target"
    )


class ExplainedClasses(Explainable):
    """Scores of classes of pixels: the logit of a class, averaged over the pixels of the target.

    Attributes:
        network: takes images whose sides are multiples of ``divisor``.
        stride: of its coarsest features, in pixels.
    """

    network: nn.Module
    divisor: int
    stride: int

    @abstractmethod
    def class_logits(self, images: Tensor, label: int) -> Tensor:
        """The logits of one class in the pixels of images ``[B, 3, H, W]``: floating ``[B, H, W]``,
        differentiable.
        """

    def score(self, images: Tensor, target: Target) -> Tensor:
        """See ``Explainable``. Targets are classes and regions."""
        if target.kind not in ("class", "region"):
            raise refuse_kind(self, target, "classes and regions")
        classes: Any = getattr(self, "classes", ())
        if target.label is None or target.label >= len(classes):
            raise UsageError(f"there is no class {target.label}: the model has {len(classes)}")
        return mean_inside(self.class_logits(images, target.label), target.mask)

    def layers(self) -> tuple[str, ...]:
        """See ``Explainable``. The default is the last layer before the logits."""
        side = max(_PROBED, 2 * self.stride, 2 * self.divisor)
        side = -(-side // (2 * self.divisor)) * 2 * self.divisor
        with torch.random.fork_rng(devices=[]):
            names = feature_layers(self.network, probe(self.network, side, side * 3 // 2))
        return tuple(f"network.{name}" for name in names)
