"""Selects one of the decoder's four masks per prompt, and resizes it to the image's own pixels."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from toolkit.types import Masks, Size

from .decoder import DecoderOutput
from .settings import MaskChoice
from .upstream import MaskDecoder


def choose(
    output: DecoderOutput, decoder: MaskDecoder, choice: MaskChoice, *, is_ambiguous: bool
) -> tuple[Tensor, Tensor]:
    """Select the predicted mask among those that the decoder returns for ``P`` prompts.

    Args:
        output: output of the decoder.
        decoder: provides the stability criterion for the single mask.
        choice: see ``Sam2Settings.mask``.
        is_ambiguous: whether the prompts are single points, for which ``best`` chooses among three masks.

    Returns:
        Logits ``[P, S / 4, S / 4]`` and predicted IoU ``[P]``.
    """
    if choice == "first":
        return output.masks[:, 1], output.ious[:, 1]
    if choice == "best" and is_ambiguous:
        rows, best = (
            torch.arange(len(output.ious), device=output.ious.device),
            output.ious[:, 1:].argmax(1) + 1,
        )
        return output.masks[rows, best], output.ious[rows, best]
    if choice == "only":
        return output.masks[:, 0], output.ious[:, 0]
    # an unstable single mask is replaced by the best of three
    masks, ious = decoder._dynamic_multimask_via_stability(output.masks, output.ious)
    return masks[:, 0], ious[:, 0]


def to_masks(logits: Tensor, size: Size, threshold: float) -> Masks:
    """Mask logits ``[P, h, w]`` of a whole image, resized to its own pixels and thresholded.

    The interpolation is that of ``F.interpolate`` (bilinear, half-pixel centers), done by OpenCV, which takes
    a seventh of the time. Masks are processed one at a time to save memory.
    """
    counts = []
    for mask in logits.float().cpu().numpy():
        columns = cv2.resize(
            np.ascontiguousarray(mask.T), size
        )  # [W, H]: run-length encodings go column by column
        counts.append(coco_mask.encode((columns > threshold).view(np.uint8).T)["counts"])
    return Masks(size, tuple(counts))
