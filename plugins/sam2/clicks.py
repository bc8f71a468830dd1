"""Training prompts: points and boxes derived from true masks in the network's grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from toolkit.models.simulated_prompts import correction, interior_point
from toolkit.types import Masks

ON, OFF, TOP_LEFT, BOTTOM_RIGHT = 1, 0, 2, 3
"""Point labels of SAM 2."""
MOST_BOX_NOISE = 20 / 1024
"""Maximum jitter of box corners in training, as a fraction of the image's side: SAM's authors allow 20 of
1024 pixels.
"""


def first_clicks(truth: Tensor, *, is_random: bool) -> tuple[Tensor, Tensor]:
    """A click on each object: on a random pixel, or on the most interior one. For an absent object, anywhere
    in the image.

    Args:
        truth: bool ``[P, H, W]``.
        is_random: whether to choose randomly.

    Returns:
        x and y as integers in float32 ``[P, 1, 2]``, and labels ``[P, 1]``.
    """
    anywhere = truth | ~truth.flatten(1).any(1)[:, None, None]
    points = _random_pixels(anywhere) if is_random else _most_interior(anywhere)
    return points, torch.full((len(truth), 1), ON, device=truth.device)


def corrections(truth: Tensor, found: Tensor, *, is_random: bool) -> tuple[Tensor, Tensor]:
    """A click on an error of each prediction: a positive one where the object is missed, a negative one on a
    false positive region.

    Args:
        truth: bool ``[P, H, W]``.
        found: the predictions, bool ``[P, H, W]``.
        is_random: choose a random wrong pixel; otherwise the most interior pixel of the largest error region.

    Returns:
        As ``first_clicks``. If there is no error: a random negative click, as SAM 2's authors do, or padding.
    """
    if not is_random:
        codes = zip(*(Masks.from_dense(masks).to_coco() for masks in (truth, found)), strict=True)
        clicks = torch.tensor([correction(*pair) for pair in codes], device=truth.device)
        return clicks[:, None, :2].float(), clicks[:, 2:].long()
    wrong = truth ^ found
    is_right = ~wrong.flatten(1).any(1)[:, None, None]
    points = _random_pixels(wrong | (is_right & ~truth))
    rows, (columns, lines) = torch.arange(len(truth), device=truth.device), points[:, 0].long().T
    return points, truth[rows, lines, columns].long()[:, None]


def _random_pixels(masks: Tensor) -> Tensor:
    """A uniformly random pixel of each mask; of the whole image for an empty mask. Float32 ``[P, 1, 2]``."""
    in_line = masks.sum(2)
    up_to_line = in_line.cumsum(1)
    counts, rows = up_to_line[:, -1], torch.arange(len(masks), device=masks.device)
    drawn = torch.rand(len(masks)).to(masks.device, non_blocking=True)
    which = (drawn * counts).long().clamp(max=(counts - 1).clamp_min(0))
    # the first one with as many before it: first its line, then its place there
    line = (up_to_line > which[:, None]).to(torch.uint8).argmax(1)
    which = which - (up_to_line - in_line)[rows, line]
    column = (masks[rows, line].cumsum(1) > which[:, None]).to(torch.uint8).argmax(1)
    return torch.stack([column, line], dim=1)[:, None].float()


def _most_interior(masks: Tensor) -> Tensor:
    points = [interior_point(mask) for mask in masks.cpu().numpy()]
    return torch.tensor([[point or (0.0, 0.0)] for point in points], device=masks.device)


def boxes(truth: Tensor, *, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """The corners of each object's box as points ``[P, 2, 2]`` with labels ``[P, 2]``.

    Args:
        truth: bool ``[P, H, W]``, none of them empty.
        noise: coordinates are jittered by up to this fraction of the box's sides, and by no more than
            ``MOST_BOX_NOISE``.
    """
    height, width = truth.shape[1:]
    corners = masks_to_boxes(truth)  # to the center of the last pixel, as SAM's authors do
    if noise:
        sides = (corners[:, 2:] - corners[:, :2]).repeat(1, 2)
        shift = 2 * torch.rand(corners.shape).to(corners.device) - 1
        corners = corners + shift * (noise * sides).clamp_max(MOST_BOX_NOISE * max(height, width))
        corners = corners.clamp(min=corners.new_zeros(4), max=corners.new_tensor([width - 1, height - 1] * 2))
    return corners.view(-1, 2, 2), torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]], device=truth.device).expand(
        len(truth), -1
    )
