"""Losses for semantic segmentation.

Each takes logits ``[B, C, H, W]`` and a target ``[B, H, W]`` (uint8 or int64, ``VOID`` is ignored) and
returns a scalar that is the mean of the losses of the single images. So every image counts the same, however
much of it is void, and a batch of four has the same loss and gradient as two batches of two; losses that pool
the pixels of a batch, as in most libraries, have neither property. An entirely void image counts as 0. Half
precision is widened to float32 first, under autocast too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn import functional as F

from toolkit.config import Settings
from toolkit.errors import ConfigError
from toolkit.types import VOID


class SegmentationLossSettings(Settings):
    """Training loss: a weighted sum of losses; a weight of 0 disables a term."""

    cross_entropy: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the cross-entropy."""
    dice: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the Dice loss."""
    focal: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the focal loss."""
    lovasz: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the Lovász-softmax loss."""
    class_weights: tuple[float, ...] | None = None
    """One weight per class, at least 0, applied in every term; `null` weights all classes equally."""
    focal_gamma: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    """Focusing parameter of the focal loss, which down-weights easy pixels; at 0 it is the cross-entropy."""

    @field_validator("class_weights")
    @classmethod
    def _usable(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not (all(math.isfinite(w) and w >= 0 for w in weights) and any(weights)):
            raise ValueError("class weights must be finite, at least 0, and not all 0")
        return weights

    @model_validator(mode="after")
    def _something(self) -> SegmentationLossSettings:
        if not (self.cross_entropy or self.dice or self.focal or self.lovasz):
            raise ValueError(
                "at least one of cross_entropy, dice, focal and lovasz must have a weight above 0"
            )
        return self

    def check_classes(self, count: int) -> None:
        """Raise ``ConfigError`` when there are class weights, but not one for each of ``count`` classes."""
        if self.class_weights is not None and len(self.class_weights) != count:
            raise ConfigError(
                f"loss.class_weights has {len(self.class_weights)} weights, but there are {count} classes."
                " Hint: give one weight per class"
            )


LossFunction = Callable[[Tensor, Tensor], dict[str, Tensor]]


def segmentation_loss(settings: SegmentationLossSettings) -> LossFunction:
    """Build the function that computes the weighted loss terms by name from logits and target; their sum is
    minimized.

    Raises:
        ConfigError: from that function, when the class weights do not fit the logits.
    """
    return partial(_weighted_terms, settings)  # not a closure: models are pickled when processes are spawned


def _weighted_terms(settings: SegmentationLossSettings, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    settings.check_classes(logits.shape[1])
    functions: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
        "cross_entropy": cross_entropy,
        "dice": dice,
        "focal": partial(focal, gamma=settings.focal_gamma),
        "lovasz": lovasz_softmax,
    }
    with torch.autocast(logits.device.type, enabled=False):
        logits = _widened(logits)
        weights = None if settings.class_weights is None else logits.new_tensor(settings.class_weights)
        factors = {name: getattr(settings, name) for name in functions}
        return {
            name: factor * functions[name](logits, target, weights)
            for name, factor in factors.items()
            if factor
        }


def cross_entropy(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The mean over the pixels of ``-log p`` of the true class, weighted by the weight of that class."""
    logits = _widened(logits)
    losses = F.cross_entropy(logits, target.long(), ignore_index=VOID, reduction="none")
    return _pixel_mean(losses, target, class_weights)


def focal(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None, *, gamma: float = 2.0
) -> Tensor:
    """The mean over the pixels of ``-(1 - p)^gamma log p`` of the true class, weighted by the weight of that
    class.

    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017 (https://arxiv.org/abs/1708.02002), over a
    softmax.
    """
    logits = _widened(logits)
    losses = F.cross_entropy(logits, target.long(), ignore_index=VOID, reduction="none")
    # expm1 keeps 1 - p exact for p near 1; the floor keeps the gradient finite there for gamma below 1
    doubt = (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).eps)
    return _pixel_mean(doubt**gamma * losses, target, class_weights)


def dice(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """One minus the soft Dice coefficient ``2 Σpg / (Σp + Σg)``, a weighted mean over the classes in the
    image.

    A class that is absent from an image has a coefficient of 0 whatever is predicted, so it is left out;
    false positives of it are still penalized, since they take probability from the classes that are present.

    Milletari et al., V-Net, 3DV 2016 (https://arxiv.org/abs/1606.04797), with the plain sums of Sudre et al.,
    DLMIA 2017.
    """
    logits = _widened(logits)
    valid = (target != VOID).unsqueeze(1)
    probabilities = logits.softmax(1) * valid
    truth = torch.zeros_like(probabilities).scatter_(
        1, (target.long().unsqueeze(1) * valid), valid.to(logits.dtype)
    )
    overlap = (probabilities * truth).sum((2, 3))  # [B, C]
    pixels = truth.sum((2, 3))
    # if the class is present, pixels is at least 1, so the floor only protects the classes that are left out
    losses = 1 - 2 * overlap / (probabilities.sum((2, 3)) + pixels).clamp_min(1)
    weights = (pixels > 0).to(losses.dtype)
    if class_weights is not None:
        weights = weights * class_weights
    return _weighted_mean(losses, weights)


def lovasz_softmax(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The Lovász extension of the Jaccard loss, a weighted mean over the classes in the image.

    Berman et al., The Lovász-Softmax loss, CVPR 2018 (https://arxiv.org/abs/1705.08790), per image, classes
    present.
    """
    probabilities = _widened(logits).softmax(1)
    weights = probabilities.new_ones(logits.shape[1]) if class_weights is None else class_weights
    images = []
    for image, labels in zip(probabilities, target, strict=True):
        valid = labels != VOID
        pixels, labels = image[:, valid], labels[valid].long()  # [C, P], [P]
        present = labels.unique()  # sorting is expensive, so only the classes that are present
        truth = (labels == present[:, None]).to(pixels.dtype)
        losses = _lovasz((truth - pixels[present]).abs(), truth)
        images.append(_weighted_mean(losses[None], weights[present][None]))
    return torch.stack(images).mean()


def _lovasz(errors: Tensor, truth: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss at ``errors`` ``[K, P]``, for each of ``K`` true sets
    ``truth`` ``[K, P]`` of 0 and 1.
    """
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    size = truth.sum(1, keepdim=True)
    jaccard = 1 - (size - truth.cumsum(1)) / (
        size + (1 - truth).cumsum(1)
    )  # when the pixels up to here are all wrong
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(size))
    return (errors * steps).sum(1)


def _widened(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _pixel_mean(losses: Tensor, target: Tensor, class_weights: Tensor | None) -> Tensor:
    """The mean of ``losses`` ``[B, H, W]`` over the non-void pixels of each image, then over the images."""
    valid = target != VOID
    weights = valid.to(losses.dtype)
    if class_weights is not None:
        weights = weights * class_weights[target.long() * valid]
    return _weighted_mean(losses.flatten(1), weights.flatten(1))


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of each row of ``losses`` ``[B, N]``, 0 if all its weights are 0; then the mean
    over the rows.
    """
    total = weights.sum(1)
    rows = (losses * weights).sum(1) / torch.where(total > 0, total, 1)
    return rows.mean()
