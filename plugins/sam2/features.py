"""Computes the features of images for the mask decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.models.derived import derived, forget, needs_gradient
from toolkit.types import Size

from .upstream import SAM2Base

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageFeatures:
    """The features of one image of ``S`` pixels, as in ``SAM2ImagePredictor``.

    Attributes:
        embedding: ``[C, S / 16, S / 16]``, with the embedding for "no memory" added.
        stride8: ``[C / 4, S / 8, S / 8]``, finer features after their projection in the mask decoder.
        stride4: ``[C / 8, S / 4, S / 4]``, also projected.
    """

    embedding: Tensor
    stride8: Tensor
    stride4: Tensor

    def tensors(self) -> list[Tensor]:
        """The three tensors, in order."""
        return [self.embedding, self.stride8, self.stride4]


def network_input(image: Tensor, size: int, device: torch.device) -> Tensor:
    """An image ``[3, H, W]``, uint8 or floating from 0 to 255, resized to ``[3, size, size]`` and normalized,
    as in ``SAM2Transforms``.

    Bilinear with antialiasing; height and width are scaled independently.
    """
    scaled = image.to(device, non_blocking=True).float() / 255
    if scaled.shape[1:] != (size, size):
        scaled = F.interpolate(
            scaled[None], (size, size), mode="bilinear", align_corners=False, antialias=True
        )[0]
    mean, std = (torch.tensor(values).view(3, 1, 1).to(device, non_blocking=True) for values in (MEAN, STD))
    return (scaled - mean) / std


def network_points(points: Tensor, image_size: Size, size: int) -> Tensor:
    """Points ``[…, 2]`` (x, y) of an image of ``image_size`` in pixels of the network's input."""
    height, width = image_size
    return points / points.new_tensor([width, height]) * size


def trunk_features(network: SAM2Base, images: Tensor, position: Tensor | None = None) -> list[Tensor]:
    """The features of the four stages of the backbone, for normalized images ``[B, 3, S, S]``.

    Args:
        network: provides the weights.
        images: the batch.
        position: what ``position_embedding`` returns for them; computed when None.
    """
    trunk: Any = network.image_encoder.trunk
    x = trunk.patch_embed(images.contiguous(memory_format=torch.channels_last))  # [B, H, W, C]
    x = x + (position_embedding(trunk, x.shape[1:3]) if position is None else position)
    stages = []
    for i, block in enumerate(trunk.blocks):
        x = block(x)
        if i in trunk.stage_ends:
            stages.append(x.permute(0, 3, 1, 2))
    return stages


def position_embedding(trunk: Any, size: Sequence[int]) -> Tensor:
    """The position embedding ``[1, H, W, C]`` of a backbone for ``H`` by ``W`` patches.

    It is computed only once if it is not trained: it takes a tenth as long as everything else.
    """
    sources = [trunk.pos_embed, trunk.pos_embed_window]
    if needs_gradient(*sources):
        forget(trunk)
        position: Tensor = trunk._get_pos_embed(size)
        return position
    placed: Tensor = derived(trunk, sources, tuple(size), lambda: trunk._get_pos_embed(size).contiguous())
    return placed


def from_trunk(network: SAM2Base, trunk: Sequence[Tensor]) -> list[ImageFeatures]:
    """The features of ``B`` images from those of the backbone.

    Equal to the package's ``FpnNeck`` up to rounding, without its position encodings, which still images do
    not need.
    """
    encoder: Any = network.image_encoder
    decoder = network.sam_mask_decoder
    coarsest, stride16, stride8, stride4 = (layer.conv for layer in encoder.neck.convs)
    above = F.interpolate(coarsest(trunk[3]).float(), scale_factor=2.0, mode=encoder.neck.fpn_interp_model)
    embedding = stride16(trunk[2]) + above + network.no_mem_embed.view(1, -1, 1, 1)
    finer = _in_one(stride8, decoder.conv_s1, trunk[1]), _in_one(stride4, decoder.conv_s0, trunk[0])
    return [ImageFeatures(*maps) for maps in zip(embedding, *finer, strict=True)]


def _in_one(first: nn.Conv2d, second: nn.Conv2d, features: Tensor) -> Tensor:
    """Merge two consecutive 1 × 1 convolutions into one; there is nothing between them at the finer
    levels."""
    assert first.bias is not None
    with torch.autocast(features.device.type, enabled=False):
        weight = second.weight.flatten(1)
        bias = F.linear(first.bias, weight, second.bias)
        weight = weight @ first.weight.flatten(1)
    return F.conv2d(features, weight[:, :, None, None], bias)
