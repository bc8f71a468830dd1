"""The size ``toy``: SAM 2's classes with few channels and blocks, and a stem that can be trained from random
weights within minutes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_CHANNELS = 192
CHANGES: dict[str, Any] = {
    "image_encoder": {
        "trunk": {
            "embed_dim": 32,
            "stages": [1, 1, 2, 1],
            "global_att_blocks": [3],
            "window_spec": [8, 8, 8, 4],
        },
        "neck": {
            "d_model": _CHANNELS,
            "backbone_channel_list": [256, 128, 64, 32],
            "position_encoding": {"num_pos_feats": _CHANNELS},
        },
    },
    "memory_attention": {
        "d_model": _CHANNELS,
        "num_layers": 1,
        "layer": {
            "d_model": _CHANNELS,
            "dim_feedforward": 128,
            "self_attention": {"embedding_dim": _CHANNELS},
            "cross_attention": {"embedding_dim": _CHANNELS, "kv_in_dim": 16},
        },
    },
    "memory_encoder": {
        "out_dim": 16,
        "in_dim": _CHANNELS,
        "position_encoding": {"num_pos_feats": 16},
        "mask_downsampler": {"embed_dim": _CHANNELS},
        "fuser": {"layer": {"dim": _CHANNELS}},
    },
}
"""Changes of the toy size to the configuration of SAM 2.1 tiny. With fewer channels, the decoder would learn
to follow prompts more slowly and would hardly be faster: on small images, most of the time is the overhead of
many small operations."""
TRANSFORMER: dict[str, Any] = {"depth": 2, "embedding_dim": _CHANNELS, "num_heads": 4, "mlp_dim": 512}
"""The toy's mask decoder; ``SAM2Base`` has no setting for it and builds one with 256 channels."""


class ConvStem(nn.Module):
    """Replaces Hiera's single 7 x 7 convolution with stride 4, which needs far more images to train.

    T. Xiao et al., *Early Convolutions Help Transformers See Better*, NeurIPS 2021
    (https://arxiv.org/abs/2106.14881).

    Args:
        channels: output channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_layer(3, 32, stride=2), *_layer(32, 64, stride=2), *_layer(64, 64), *_layer(64, 64)
        )
        self.proj = nn.Conv2d(64, channels, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]`` to features ``[B, H / 4, W / 4, C]``."""
        features: Tensor = self.proj(self.layers(images))
        return features.permute(0, 2, 3, 1)


def _layer(inputs: int, outputs: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
