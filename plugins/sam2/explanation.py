"""Mask logits with gradients with respect to the image, for explanations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.types import Prompts

from .answers import choose
from .decoder import ImageDecoder
from .features import from_trunk, network_input, network_points, trunk_features
from .prompting import grouped
from .settings import MaskChoice
from .upstream import SAM2Base

LAYERS = ("network.image_encoder.neck.convs.1.conv", "network.image_encoder.neck.convs.0.conv")
"""The convolutions of the neck that run as modules; those of the finer levels are merged with the mask
decoder's.
"""


def prompt_logits(
    network: SAM2Base,
    images: Tensor,
    prompts: Prompts,
    image_size: int,
    choice: MaskChoice,
    *,
    drawn: bool = False,
) -> Tensor:
    """The logits of the answer to one prompt in each image, in its own pixels.

    Args:
        network: provides the weights.
        images: floating ``[B, 3, H, W]``, RGB from 0 to 255.
        prompts: one prompt of points or a box, in pixels of the images.
        image_size: height and width of the network's input.
        choice: see ``Sam2Settings.mask``.
        drawn: whether the network also gets the prompt as a rough mask.

    Returns:
        float32 ``[B, H, W]``.

    Raises:
        InvalidDataError: when the prompt does not fit the images.
    """
    size = (images.shape[2], images.shape[3])
    (group,) = grouped(prompts, "the image", size)
    inputs = torch.stack([network_input(image, image_size, images.device) for image in images])
    features = from_trunk(network, trunk_features(network, inputs))
    count = len(images)
    points = network_points(group.points, size, image_size).to(images.device)
    output = ImageDecoder(network, features, drawn=drawn)(
        points.expand(count, -1, -1),
        group.labels.to(images.device).expand(count, -1),
        images=torch.arange(count, device=images.device),
    )
    logits, _ = choose(output, choice, is_ambiguous=group.is_ambiguous)
    return F.interpolate(logits.float()[:, None], size, mode="bilinear", align_corners=False)[:, 0]
