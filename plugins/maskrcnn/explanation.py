"""Scores of one detection with gradients with respect to the image, for explanations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from toolkit.errors import InvalidDataError, UsageError

from .roi_heads import RoIHeads

LAYERS = tuple(f"backbone.bottom_up.res{stage}" for stage in (2, 3, 4, 5))
"""The stages of the ResNet, the finest first, which shows small objects, too. Gradients reach all of them,
whichever level of the pyramid an object is pooled from.
"""


def class_scores(heads: RoIHeads, features: Sequence[Tensor], box: Tensor, label: int) -> Tensor:
    """The logit of a class in the same box of each image, ``[B]``.

    Args:
        heads: provide the weights.
        features: P2 to P6 of ``B`` images.
        box: float32 ``[4]``, in pixels of the network's input.
        label: index of the class.
    """
    boxes = [box[None]] * len(features[0])
    return heads.class_logits(features, boxes)[:, label].float()


def mask_scores(
    heads: RoIHeads, features: Sequence[Tensor], box: Tensor, label: int, mask: Tensor | None
) -> Tensor:
    """The logits of the mask of an object, averaged over its pixels in each image, ``[B]``.

    Args:
        heads, features, box, label: as for ``class_scores``.
        mask: the object in the network's input, float32 ``[h, w]``; the whole box counts when None.

    Raises:
        UsageError: when the network has no masks.
        InvalidDataError: when the mask has no pixels in the box.
    """
    if heads.mask_head is None:
        raise UsageError(
            "this Mask R-CNN was trained without masks (model.masks=false), so there is no mask to explain."
            " Hint: explain the class of the object"
        )
    count = len(features[0])
    logits = heads.mask_logits(features, [box[None]] * count, [box.new_full((1,), label).long()] * count)
    if mask is None:
        return logits.float().mean((1, 2))
    side = logits.shape[-1]
    inside: Tensor = roi_align(mask[None, None], [box[None]], side, aligned=True)[0, 0] >= 0.5
    if not bool(inside.any()):
        raise InvalidDataError("the mask of the object has no pixels in its box. Hint: explain its class")
    scores: Tensor = (logits.float() * inside).sum((1, 2)) / inside.sum()
    return scores


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Floating images ``[B, 3, H, W]`` at another size, by the same filter as ``inputs.resize`` up to
    rounding to whole numbers; differentiable.
    """
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True)
