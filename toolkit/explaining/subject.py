"""What a method explains, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit.explaining.layers import default_layer, layer_name
from toolkit.models.capabilities import Explainable
from toolkit.models.contract import Model
from toolkit.types import Sample, Target


@dataclass(frozen=True)
class Effort:
    """How much a method computes.

    Attributes:
        samples: noisy copies of ``smoothgrad``.
        noise: their standard deviation, as a fraction of the range of the image's values.
        steps: images between black and the image, for ``integrated-gradients``.
        masks: the most masks of ``drise``; it stops earlier when the map is stable.
        batch_size: number of images that go through the network together.
        seed: of the noise and the masks.

    Raises:
        UsageError: when a number is out of range.
    """

    samples: int = 25
    noise: float = 0.15
    steps: int = 32
    masks: int = 5000
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "steps", "masks", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.noise <= 1:
            raise UsageError(f"noise must be above 0 and at most 1, not {self.noise:g}")


@dataclass(frozen=True)
class Map:
    """What a method found.

    Attributes:
        values: floating ``[H, W]``, in the pixels of the image.
        layer: the layer whose features were used, or None.
        figures: further numbers, by name.
        score: the target's score in the image; None if it is that of ``Subject.score``.
    """

    values: Tensor
    layer: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None


@dataclass(frozen=True)
class Subject:
    """An image and what is to be explained in it.

    Attributes:
        model: the model that predicts.
        sample: the image.
        target: what is explained.
        layer: the layer to look at, by its name or the end of it; None for the model's default.
        effort: how much to compute.
    """

    model: Model
    sample: Sample
    target: Target
    layer: str | None = None
    effort: Effort = field(default_factory=Effort)

    @property
    def explainable(self) -> Explainable:
        """The model as one with gradients.

        Raises:
            UsageError: when it has none.
        """
        found = self.model.capability(Explainable)
        if found is None:
            raise UsageError(
                "this model has no gradients to look at: it does not declare the capability"
                " Explainable. Hint: use a method that only needs predictions"
            )
        return found

    @property
    def network(self) -> Model:
        """The model that has the layers: of a wrapper, the one inside it.

        Raises:
            UsageError: when it has no gradients, or is no model.
        """
        found = self.explainable
        if not isinstance(found, Model):
            raise UsageError(
                f"{type(found).__name__} is no Model, so it has no layers. Hint: use the method saliency"
            )
        return found

    def images(self) -> Tensor:
        """The image as a batch of one: floating ``[1, 3, H, W]``, RGB from 0 to 255, on the device and of
        the precision of the model.
        """
        like = next(self.model.parameters(), torch.empty(0))
        dtype = like.dtype if like.dtype == torch.float64 else torch.float32
        return self.sample.image[None].to(like.device, dtype)

    def score(self, images: Tensor) -> Tensor:
        """The scores of the target in images like those of ``images``, floating ``[B]``."""
        return self.explainable.score(images, self.target)

    def chosen_layer(self) -> str:
        """The full name of the layer to look at.

        Raises:
            UsageError: when there is no such layer, or the model names none.
        """
        if self.layer is None:
            return default_layer(self.explainable)
        return layer_name(self.network, self.layer)
