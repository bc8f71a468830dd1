"""SAM 2's networks as graphs of tensors: the image encoder, the encoding of points, and the mask decoder.

Points are encoded in a graph of their own, because it stays in float32: in bf16, whose numbers from 0.5 to 1
are 1/256 apart, a click in an image of 1024 pixels would be up to two pixels off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from toolkit.models.graphs import Graph

from .clicks import BOTTOM_RIGHT, OFF, ON, TOP_LEFT
from .decoder import PixelFeatures, arranged, decoded
from .features import from_trunk, position_embedding, trunk_features
from .prompting import PADDING
from .upstream import SAM2Base

STRIDE = 16
"""Of the features that the decoder looks at."""

PATCH = 4
"""Stride of the backbone's first layer, whose results its position embedding is added to."""

POINTS = ((3, 2), (1, 1), (2, 0), (100, 9))
"""Examples of points: the number of prompts, and of the points of each."""

PROMPTS = ((3, 4, True), (1, 2, False), (2, 0, True), (5, 9, False))
"""Examples for the decoder: the number of prompts, of the points of each, and whether they have masks."""

MANY, SMALL = 100, 256
"""The number of prompts in one more example, if the image has at most this side: on larger ones, it would
take a minute and gigabytes. ``gate_answers`` gives as many to the model, which decodes them in parts.
"""


class EncoderGraph(nn.Module):
    """From a normalized image to its features, with the channels last; see ``PixelFeatures``.

    Args:
        network: provides the weights.
    """

    position: Tensor

    def __init__(self, network: SAM2Base) -> None:
        super().__init__()
        self.network = network
        side = network.image_size // PATCH
        # a constant: in a graph, its arithmetic has branches, which cannot be quantized
        with torch.no_grad():
            position = position_embedding(network.image_encoder.trunk, (side, side)).detach()
        self.register_buffer("position", position, persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of an image, float32 ``[1, 3, S, S]``."""
        network = self.network
        found = arranged(network, from_trunk(network, trunk_features(network, image, self.position)))
        return found.embedding, found.stride8, found.stride4


class PointsGraph(nn.Module):
    """From points to tokens for the decoder.

    Args:
        network: provides the weights.
    """

    def __init__(self, network: SAM2Base) -> None:
        super().__init__()
        encoder = network.sam_prompt_encoder
        self.side = network.image_size
        self.frequencies = encoder.pe_layer.positional_encoding_gaussian_matrix
        self.not_a_point, self.kinds = encoder.not_a_point_embed, encoder.point_embeddings

    def forward(self, points: Tensor, labels: Tensor) -> Tensor:
        """Tokens ``[P, K, C]``.

        Args:
            points: float32 ``[P, K, 2]``, x and y in pixels of the network's input.
            labels: int64 ``[P, K]``, as for ``ImageDecoder``.
        """
        angles = 2 * torch.pi * ((2 * ((points + 0.5) / self.side) - 1) @ self.frequencies)
        position = torch.cat([angles.sin(), angles.cos()], dim=-1)
        kinds = torch.cat([self.not_a_point.weight, *(each.weight for each in self.kinds)])
        is_point = (labels != PADDING).unsqueeze(-1).to(position.dtype)
        return position * is_point + kinds[labels + 1]


class DecoderGraph(nn.Module):
    """From the features of an image and prompts to mask logits.

    Args:
        network: provides the weights.
    """

    position: Tensor

    def __init__(self, network: SAM2Base) -> None:
        super().__init__()
        self.prompts, self.head = network.sam_prompt_encoder, network.sam_mask_decoder
        self.side = network.image_size // STRIDE
        with torch.no_grad():
            position = self.prompts.get_dense_pe()[0].flatten(1).T
        self.register_buffer("position", position, persistent=False)

    def forward(
        self,
        embedding: Tensor,
        stride8: Tensor,
        stride4: Tensor,
        tokens: Tensor,
        masks: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Logits of the four masks of each prompt, ``[P, 4, S / 4, S / 4]``, and their predicted IoU,
        ``[P, 4]``; see ``DecoderOutput``.

        Args:
            embedding, stride8, stride4: as the image encoder returns them.
            tokens: encoded points, ``[P, K, C]``.
            masks: logits of rough masks or earlier answers, ``[P, 1, S / 4, S / 4]``, or any one for all
                prompts if they have none.
            has_mask: 1 where they are given and 0 where not, float32 ``[P]`` or ``[1]``.
        """
        own = self.prompts.mask_downscaling(masks).flatten(2).transpose(1, 2)
        given = has_mask[:, None, None]
        dense = own * given + self.prompts.no_mask_embed.weight * (1 - given)
        features = PixelFeatures(embedding, stride8, stride4, self.side, self.side)
        found = decoded(self.head, features, self.position, tokens, dense)
        return found.masks, found.ious


def graphs_of(network: SAM2Base) -> tuple[Graph, ...]:
    """The three graphs, with examples."""
    side, width = network.image_size, network.hidden_dim
    pixels = (side // STRIDE) ** 2
    random = torch.Generator().manual_seed(0)
    features = {
        "embedding": (1, pixels, width),
        "stride8": (1, pixels, width),
        "stride4": (1, 4 * pixels, width // 2),
    }
    images = [torch.randn((1, 3, side, side), generator=random)]
    images += [torch.zeros_like(images[0]), images[0].flip(3) * 3]
    encoder = Graph(
        "encoder",
        EncoderGraph(network).eval(),
        {"image": (1, 3, side, side)},
        features,
        tuple((image,) for image in images),
    )
    points = Graph(
        "points",
        PointsGraph(network).eval(),
        {"points": ("prompts", "points", 2), "labels": ("prompts", "points")},
        {"tokens": ("prompts", "points", width)},
        tuple(_points(prompts, count, side, random) for prompts, count in POINTS),
        reduced=(),
    )
    maps = tuple(torch.randn(shape, generator=random) for shape in features.values())
    sizes = [*PROMPTS, (MANY, 2, False)] if side <= SMALL else PROMPTS
    decoder = Graph(
        "decoder",
        DecoderGraph(network).eval(),
        {
            **features,
            "tokens": ("prompts", "points", width),
            "masks": ("given", 1, side // 4, side // 4),
            "has_mask": ("given",),
        },
        {"logits": ("prompts", 4, side // 4, side // 4), "ious": ("prompts", 4)},
        tuple((*maps, *_prompts(*each, side // 4, width, random)) for each in sizes),
        reduced=("bf16",),
    )
    return encoder, points, decoder


def _points(prompts: int, count: int, side: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.tensor([PADDING, OFF, ON, TOP_LEFT, BOTTOM_RIGHT])
    chosen = torch.randint(len(labels), (prompts, count), generator=random)
    return torch.rand((prompts, count, 2), generator=random) * side, labels[chosen]


def _prompts(
    prompts: int, points: int, has_masks: bool, side: int, width: int, random: torch.Generator
) -> tuple[Any, ...]:
    given = prompts if has_masks else 1
    masks = torch.randn((given, 1, side, side), generator=random) * 10
    tokens = torch.randn((prompts, points, width), generator=random)
    return tokens, masks, torch.full((given,), float(has_masks))
