"""Where to click while learning: points and boxes taken from true masks in the grid of the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from toolkit.prompting import correction
from toolkit.types import Masks

ON, OFF, TOP_LEFT, BOTTOM_RIGHT = 1, 0, 2, 3
"""Labels of points, as SAM 2 knows them."""
BOX_NOISE, MOST_BOX_NOISE = 0.1, 20.0
"""Corners of a box to learn from move by up to this part of its sides, and at most this many pixels (as SAM's authors do)."""


def random_clicks(truth: Tensor, found: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each object a pixel drawn evenly from where the prediction is wrong: on the object where it is missed, off it elsewhere.

    Args:
        truth: bool ``[P, H, W]``.
        found: likewise; None stands for nothing found yet.

    Returns:
        x and y as whole numbers, float32 ``[P, 1, 2]``, and labels ``[P, 1]``. Where nothing is wrong, a pixel off the object.
    """
    wrong = truth if found is None else truth ^ found
    points, labels = [], []
    for wrong_pixels, true_pixels in zip(wrong.flatten(1), truth.flatten(1), strict=True):
        choices = wrong_pixels.nonzero()
        if not len(choices):
            choices = (~true_pixels).nonzero() if not true_pixels.all() else true_pixels.nonzero()
        pixel = choices[torch.randint(len(choices), (1,)).to(choices.device), 0]
        points.append(torch.stack([pixel % truth.shape[2], pixel // truth.shape[2]], dim=1))
        labels.append(true_pixels[pixel].long())
    return torch.stack(points).float(), torch.stack(labels)


def centre_clicks(truth: Tensor, found: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Like ``random_clicks``, but in the middle of the largest error of each object, which is the same every time; padding where there is none."""
    masks = Masks.from_dense(truth.cpu()).to_coco()
    others = Masks.from_dense(torch.zeros_like(truth, device="cpu") if found is None else found.cpu()).to_coco()
    clicks = [correction(mask, other) for mask, other in zip(masks, others, strict=True)]
    points = torch.tensor([[click[:2]] for click in clicks], dtype=torch.float32)
    return points.to(truth.device), torch.tensor([[click[2]] for click in clicks]).to(truth.device)


def boxes(truth: Tensor, *, noisy: bool) -> tuple[Tensor, Tensor]:
    """The corners of each object's box as points ``[P, 2, 2]`` with labels ``[P, 2]``, moved at random where ``noisy``.

    Args:
        truth: bool ``[P, H, W]``, none of them empty.
        noisy: see ``BOX_NOISE``.
    """
    height, width = truth.shape[1:]
    corners = masks_to_boxes(truth)  # to the middle of the last pixel, as SAM's authors count
    if noisy:
        sides = (corners[:, 2:] - corners[:, :2]).repeat(1, 2)
        shift = 2 * torch.rand(corners.shape).to(corners.device) - 1
        corners = corners + shift * (BOX_NOISE * sides).clamp_max(MOST_BOX_NOISE)
        corners = corners.clamp(min=corners.new_zeros(4), max=corners.new_tensor([width - 1, height - 1] * 2))
    return corners.view(-1, 2, 2), torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]], device=truth.device).expand(len(truth), -1)
