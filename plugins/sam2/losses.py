"""Training losses per object: that of the short recipe, and that of SAM 2's authors.

Each function takes mask logits and truth at one resolution and returns named terms ``[P]``, one weighted
value per object. An absent object (an empty true mask) only has a term for its object score. Everything is
computed in float32, under autocast too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LAB_SCORE_WEIGHT = 0.05
FOCAL_WEIGHT, FOCAL_ALPHA, FOCAL_GAMMA = 20.0, 0.25, 2.0

Terms = dict[str, Tensor]


def lab_loss(logits: Tensor, truth: Tensor, ious: Tensor, object_logits: Tensor) -> Terms:
    """The short recipe: cross-entropy of the pixels, and 0.05 times the error of the predicted IoU.

    It does not handle images without objects. To make use of them, the object score is trained as well, with
    the weight of the IoU; in a published network the score is already right for objects that are present, so
    this changes almost nothing.

    Args:
        logits: logits of one mask per object, ``[P, H, W]``.
        truth: bool ``[P, H, W]``.
        ious: the predicted IoU, ``[P]``.
        object_logits: ``[P]``, above 0 where there is an object.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits, target = logits.float(), truth.float()
        there = truth.flatten(1).any(1).float()
        pixels = F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(1)
        score = (ious.float() - _ious(logits, truth)).abs()
        known = F.binary_cross_entropy_with_logits(object_logits.float(), there, reduction="none")
        return {
            "mask": pixels * there,
            "iou": LAB_SCORE_WEIGHT * score * there,
            "object_score": LAB_SCORE_WEIGHT * known,
        }


def sam2_loss(logits: Tensor, truth: Tensor, ious: Tensor, object_logits: Tensor) -> Terms:
    """The loss that SAM 2 was trained with: focal × 20 + Dice + L1 of the IoU + cross-entropy of the object
    score.

    Of several masks, only the one with the smallest focal + Dice loss is trained; the predicted IoU is
    trained for all of them. Ravi et al., SAM 2: Segment Anything in Images and Videos
    (https://arxiv.org/abs/2408.00714), with the weights of the published training configuration.

    Args:
        logits: logits of ``M`` masks per object, ``[P, M, H, W]``.
        truth: bool ``[P, H, W]``.
        ious: the predicted IoU of each, ``[P, M]``.
        object_logits: ``[P]``.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        target = truth[:, None].float().expand_as(logits)
        there = truth.flatten(1).any(1).float()
        focal, dice = FOCAL_WEIGHT * _focal(logits, target), _dice(logits, target)  # [P, M]
        best = (focal + dice).detach().argmin(1, keepdim=True)
        score = (ious.float() - _ious(logits, truth[:, None])).abs().mean(1)
        return {
            "mask": focal.gather(1, best)[:, 0] * there,
            "dice": dice.gather(1, best)[:, 0] * there,
            "iou": score * there,
            "object_score": F.binary_cross_entropy_with_logits(
                object_logits.float(), there, reduction="none"
            ),
        }


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    """The mean focal loss of the pixels (Lin et al., https://arxiv.org/abs/1708.02002), ``[P, M]``."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    doubt = torch.where(target > 0, 1 - probability, probability)
    balance = torch.where(target > 0, FOCAL_ALPHA, 1 - FOCAL_ALPHA)
    return (balance * doubt**FOCAL_GAMMA * cross_entropy).flatten(2).mean(2)


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the soft Dice coefficient, ``[P, M]``, with 1 added to both sides of the fraction."""
    probability = logits.sigmoid().flatten(2)
    target = target.flatten(2)
    return 1 - (2 * (probability * target).sum(2) + 1) / (probability.sum(2) + target.sum(2) + 1)


def _ious(logits: Tensor, truth: Tensor) -> Tensor:
    """The IoU of the predicted masks ``[…, H, W]`` with the true ones, without a gradient; 0 where both are
    empty.
    """
    found = logits.detach() > 0
    both, either = (found & truth).flatten(-2).sum(-1), (found | truth).flatten(-2).sum(-1)
    return both / either.clamp_min(1)
