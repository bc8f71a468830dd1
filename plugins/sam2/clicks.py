"""Where to click while learning: points and boxes taken from true masks in the grid of the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from toolkit.models.simulated_prompts import correction, interior_point
from toolkit.types import Masks

ON, OFF, TOP_LEFT, BOTTOM_RIGHT = 1, 0, 2, 3
"""Labels of points, as SAM 2 knows them."""
MOST_BOX_NOISE = 20 / 1024
"""Corners of a box to learn from move by at most this part of the image's side: SAM's authors allow 20 of
1024 pixels.
"""


def first_clicks(truth: Tensor, *, is_random: bool) -> tuple[Tensor, Tensor]:
    """A click on each object: on any of its pixels, or on the most interior one. For an object that is not
    there, anywhere in the image.

    Args:
        truth: bool ``[P, H, W]``.
        is_random: whether chance decides.

    Returns:
        x and y as whole numbers, float32 ``[P, 1, 2]``, and labels ``[P, 1]``.
    """
    anywhere = truth | ~truth.flatten(1).any(1)[:, None, None]
    points = _random_pixels(anywhere) if is_random else _most_interior(anywhere)
    return points, torch.full((len(truth), 1), ON, device=truth.device)


def corrections(truth: Tensor, found: Tensor, *, is_random: bool) -> tuple[Tensor, Tensor]:
    """A click on an error of each prediction: on the object where it is missed, off it where the prediction
    goes too far.

    Args:
        truth: bool ``[P, H, W]``.
        found: likewise, what was predicted.
        is_random: any of the pixels that are wrong; otherwise the most interior one of the largest error.

    Returns:
        As ``first_clicks``. Where nothing is wrong: a random click off the object, as SAM 2's authors do, or
        padding.
    """
    if not is_random:
        codes = zip(*(Masks.from_dense(masks.cpu()).to_coco() for masks in (truth, found)), strict=True)
        clicks = torch.tensor([correction(*pair) for pair in codes], device=truth.device)
        return clicks[:, None, :2].float(), clicks[:, 2:].long()
    wrong = truth ^ found
    is_right = ~wrong.flatten(1).any(1)[:, None, None]
    points = _random_pixels(wrong | (is_right & ~truth))
    rows, (columns, lines) = torch.arange(len(truth), device=truth.device), points[:, 0].long().T
    return points, truth[rows, lines, columns].long()[:, None]


def _random_pixels(masks: Tensor) -> Tensor:
    """A pixel of each mask, all equally likely; any pixel of an empty one. Float32 ``[P, 1, 2]``."""
    counts = masks.flatten(1).sum(1)
    which = (torch.rand(len(masks)).to(masks.device) * counts).long().clamp(max=(counts - 1).clamp_min(0))
    pixels = (
        (masks.flatten(1).cumsum(1) > which[:, None]).to(torch.uint8).argmax(1)
    )  # the first with as many before it
    return torch.stack([pixels % masks.shape[2], pixels // masks.shape[2]], dim=1)[:, None].float()


def _most_interior(masks: Tensor) -> Tensor:
    points = [interior_point(mask) for mask in masks.cpu().numpy()]
    return torch.tensor([[point or (0.0, 0.0)] for point in points], device=masks.device)


def boxes(truth: Tensor, *, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """The corners of each object's box as points ``[P, 2, 2]`` with labels ``[P, 2]``.

    Args:
        truth: bool ``[P, H, W]``, none of them empty.
        noise: coordinates move at random by up to this part of the box's sides, and no more than
            ``MOST_BOX_NOISE``.
    """
    height, width = truth.shape[1:]
    corners = masks_to_boxes(truth)  # to the middle of the last pixel, as SAM's authors count
    if noise:
        sides = (corners[:, 2:] - corners[:, :2]).repeat(1, 2)
        shift = 2 * torch.rand(corners.shape).to(corners.device) - 1
        corners = corners + shift * (noise * sides).clamp_max(MOST_BOX_NOISE * max(height, width))
        corners = corners.clamp(min=corners.new_zeros(4), max=corners.new_tensor([width - 1, height - 1] * 2))
    return corners.view(-1, 2, 2), torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]], device=truth.device).expand(
        len(truth), -1
    )
