"""What a semantic model checks: the label map that it learns from, and the logits of its network."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError, UsageError
from toolkit.types import VOID, Sample


def label_map_of(sample: Sample, classes: int) -> Tensor:
    """The label map of a sample, uint8 ``[H, W]``, whose values are checked.

    Raises:
        InvalidDataError: when there is none, or a value is neither a class nor void; names the sample.
    """
    if sample.label_map is None:
        raise InvalidDataError(
            f"sample {sample.id!r} has no label_map, and the loss of a semantic model needs one"
        )
    beyond = (sample.label_map >= classes) & (sample.label_map != VOID)
    if bool(beyond.any()):
        value = int(sample.label_map[beyond][0])
        raise InvalidDataError(
            f"the label map of sample {sample.id!r} has the value {value}, but there are"
            f" {classes} classes (0 to {classes - 1}, and {VOID} for void)"
        )
    return sample.label_map


def checked_logits(logits: Tensor, images: Tensor, classes: int) -> Tensor:
    """The logits ``[B, C, h, w]`` that a network returned for images ``[B, 3, H, W]``, in full precision.

    Raises:
        UsageError: when they have another shape.
    """
    if logits.dim() != 4 or logits.shape[:2] != (len(images), classes):
        raise UsageError(
            f"the network must return logits [B, {classes}, h, w], one channel per class; for"
            f" images {list(images.shape)} it returned {list(logits.shape)}"
        )
    return logits if logits.dtype == torch.float64 else logits.float()
