"""Connected parts of masks."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def component_at(mask: Tensor, row: int, column: int) -> Tensor:
    """The connected part of a mask that contains a pixel, with pixels that touch at a corner connected.

    Args:
        mask: bool ``[H, W]``, true at the pixel.
        row, column: the pixel.

    Returns:
        bool ``[H, W]``.
    """
    _, parts = cv2.connectedComponents(mask.cpu().numpy().astype(np.uint8), connectivity=8)
    return torch.from_numpy(parts == parts[row, column])
