"""The networks: an encoder and one of two heads. The parts are named as torchvision's, so that its weights
fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .encoders import Encoder
from .layers import ASPP, convolution


class DeepLabV3Head(nn.Sequential):
    """Atrous spatial pyramid pooling on the deepest features.

    Args:
        encoder: provides the features.
        classes: channels of the logits.
        rates: dilations of the pyramid.
        channels: channels of each branch of the pyramid, and after it.
        separable: depthwise-separable 3 × 3 convolutions.
        image_pooling: whether the pyramid has an image pooling branch.
        dropout: dropout rate after the pyramid.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        rates: Sequence[int],
        *,
        channels: int = 256,
        separable: bool = False,
        image_pooling: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(
            ASPP(
                encoder.channels,
                channels,
                rates,
                separable=separable,
                image_pooling=image_pooling,
                dropout=dropout,
            ),
            *convolution(channels, channels, 3, separable=separable),
            nn.Conv2d(channels, classes, 1),
        )

    def forward(self, input: list[Tensor]) -> Tensor:
        """Logits ``[B, classes, h, w]`` at the resolution of the last of the features."""
        features = input[-1]
        for layer in self:
            features = layer(features)
        return features


class DeepLabV3PlusHead(nn.Module):
    """The pyramid, refined by features of stride 4.

    Args:
        encoder: provides the features; its ``low_level`` must not be None.
        classes: channels of the logits.
        rates: dilations of the pyramid.
        channels: channels of each branch of the pyramid, and after it.
        low_level_channels: channels to which the stride-4 features are reduced before they are concatenated.
        separable: depthwise-separable 3 × 3 convolutions.
        image_pooling: whether the pyramid has an image pooling branch.
        dropout: dropout rate after the pyramid.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        rates: Sequence[int],
        *,
        channels: int = 256,
        low_level_channels: int = 48,
        separable: bool = True,
        image_pooling: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        assert encoder.low_level is not None  # ensured by the caller
        self._level, inputs = encoder.low_level
        self.aspp = ASPP(
            encoder.channels,
            channels,
            rates,
            separable=separable,
            image_pooling=image_pooling,
            dropout=dropout,
        )
        self.low_level = nn.Sequential(*convolution(inputs, low_level_channels))
        self.decoder = nn.Sequential(
            *convolution(channels + low_level_channels, channels, 3, separable=separable),
            *convolution(channels, channels, 3, separable=separable),
            nn.Conv2d(channels, classes, 1),
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits ``[B, classes, h, w]`` at a stride of 4."""
        fine = self.low_level(features[self._level])
        coarse = F.interpolate(self.aspp(features[-1]), fine.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.decoder(torch.cat([coarse, fine], dim=1))
        return logits


class DeepLab(nn.Module):
    """An encoder with a head and, for training only, an auxiliary head on the second-to-last stage.

    Args:
        encoder: the encoder; its module becomes ``backbone``.
        head: takes the encoder's features and returns logits.
        rates: dilations of the head's pyramid; kept for inspection.
        auxiliary_classes: channels of the auxiliary head's logits; None for no auxiliary head.
    """

    def __init__(
        self, encoder: Encoder, head: nn.Module, rates: Sequence[int], auxiliary_classes: int | None = None
    ) -> None:
        super().__init__()
        self.encoder_name, self.output_stride, self.rates = encoder.name, encoder.output_stride, tuple(rates)
        self.backbone, self.classifier = encoder.module, head
        self._auxiliary_level, inputs = encoder.auxiliary
        inner = max(1, inputs // 4)
        self.aux_classifier = (
            None
            if auxiliary_classes is None
            else nn.Sequential(
                *convolution(inputs, inner, 3), nn.Dropout(0.1), nn.Conv2d(inner, auxiliary_classes, 1)
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes, h, w]`` of images ``[B, 3, H, W]``."""
        logits: Tensor = self.classifier(self.backbone(images))
        return logits

    def all_logits(self, images: Tensor) -> list[Tensor]:
        """The result of ``forward``, and the logits of the auxiliary head if there is one."""
        features = self.backbone(images)
        auxiliary = (
            [] if self.aux_classifier is None else [self.aux_classifier(features[self._auxiliary_level])]
        )
        return [self.classifier(features), *auxiliary]

    def last_layers(self) -> list[str]:
        """The names of the layers that have one channel per class."""
        heads = {"classifier": self.classifier, "aux_classifier": self.aux_classifier}
        return [
            [f"{name}.{inner}" for inner, _ in head.named_modules()][-1]
            for name, head in heads.items()
            if head is not None
        ]
