"""Selects the answer among the decoder's four masks of a prompt, in training and in prediction alike, and
resizes it to the image's own pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Masks, Size

from .decoder import DecoderOutput
from .settings import MaskChoice
from .upstream import IMAGE_PREDICTION

SINGLE, FIRST, THREE = slice(0, 1), slice(1, 2), slice(1, None)
"""Indexes of the decoder's masks: the single mask, the first of the three for ambiguous prompts, and all
three.
"""

_DEVICE_PIXELS = 1 << 26
"""Pixels of masks that a device resizes at once; each takes some ten bytes of its memory meanwhile."""


def choose(output: DecoderOutput, choice: MaskChoice, *, is_ambiguous: bool) -> tuple[Tensor, Tensor]:
    """Select the predicted mask among those that the decoder returns for ``P`` prompts.

    Args:
        output: output of the decoder.
        choice: see ``Sam2Settings.mask``.
        is_ambiguous: whether the prompts are single points, for which ``best`` chooses among three masks.

    Returns:
        Logits ``[P, S / 4, S / 4]`` and predicted IoU ``[P]``.
    """
    if choice == "first":
        return output.masks[:, 1], output.ious[:, 1]
    if choice == "best" and is_ambiguous:
        return _row(output, output.ious[:, THREE].argmax(1) + 1)
    if choice == "only":
        return output.masks[:, 0], output.ious[:, 0]
    best = output.ious[:, THREE].argmax(1) + 1
    return _row(output, torch.where(_is_stable(output.masks[:, 0]), 0, best))


def _row(output: DecoderOutput, index: Tensor) -> tuple[Tensor, Tensor]:
    rows = torch.arange(len(index), device=index.device)
    return output.masks[rows, index], output.ious[rows, index]


def _is_stable(logits: Tensor) -> Tensor:
    """Whether masks hardly depend on the threshold, ``[P]``: the criterion of the package's
    ``MaskDecoder``, by which an unstable single mask is replaced by the best of three.
    """
    delta = IMAGE_PREDICTION["dynamic_multimask_stability_delta"]
    smaller, larger = ((logits > threshold).flatten(1).sum(1).float() for threshold in (delta, -delta))
    stability = torch.where(larger > 0, smaller / larger, 1.0)
    return stability >= IMAGE_PREDICTION["dynamic_multimask_stability_thresh"]


def candidates(output: DecoderOutput, choice: MaskChoice) -> tuple[Tensor, Tensor]:
    """All answers to ``P`` single points, for finding everything in an image: three with ``best``, as in the
    package's generator, and otherwise the one that ``choose`` selects.

    Returns:
        Logits ``[P, M, S / 4, S / 4]`` and predicted IoU ``[P, M]``.
    """
    if choice == "best":
        return output.masks[:, THREE], output.ious[:, THREE]
    mask, iou = choose(output, choice, is_ambiguous=True)
    return mask[:, None], iou[:, None]


def trained_masks(choice: MaskChoice, *, is_ambiguous: bool) -> list[slice]:
    """Groups of masks that the preset ``sam2`` trains for prompts; in each group, the one with the smallest
    loss is trained: those that ``choose`` may select.

    With ``best``, they are those of SAM 2's authors. With ``single``, a point may be answered by the single
    mask or by one of the three.
    """
    if choice == "first":
        return [FIRST]
    if choice == "only" or not is_ambiguous:
        return [SINGLE]
    return [THREE] if choice == "best" else [SINGLE, THREE]


def to_masks(logits: Tensor, size: Size, threshold: float) -> Masks:
    """Mask logits ``[P, h, w]`` of a whole image, resized to its own pixels and thresholded.

    The interpolation is that of ``F.interpolate`` (bilinear, half-pixel centers). On a CPU it is done by
    OpenCV, which takes a seventh of the time, one mask at a time to save memory; elsewhere the device resizes
    and encodes some at a time.
    """
    counts: list[bytes] = []
    if logits.device.type != "cpu":
        for part in torch.split(logits.float(), max(1, _DEVICE_PIXELS // (size[0] * size[1]))):
            full = F.interpolate(part[:, None], size, mode="bilinear", align_corners=False)[:, 0]
            counts += Masks.from_dense(full > threshold).counts
        return Masks.encoded(size, counts)
    for mask in logits.float().numpy():
        # [W, H]: run-length encodings run column by column.
        columns = cv2.resize(np.ascontiguousarray(mask.T), size)
        counts.append(coco_mask.encode((columns > threshold).view(np.uint8).T)["counts"])
    return Masks.encoded(size, counts)
