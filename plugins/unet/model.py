"""From settings to a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from toolkit.models.semantic import SemanticModel

from .original import Mirrored, OriginalUNet
from .settings import UNetSettings


def build(settings: UNetSettings, classes: Sequence[str]) -> SemanticModel:
    """A U-Net with random weights.

    Raises:
        ConfigError: when the encoder is unknown or does not support the settings.
    """
    depth, width, upsampling, norm = settings.filled()
    network: nn.Module
    head: nn.Module
    divisor: int
    if settings.is_original:
        padded = settings.encoder == "original_padded"
        original = OriginalUNet(
            3,
            len(classes),
            depth=depth,
            width=width,
            padded=padded,
            upsampling=upsampling,
            norm=norm,
            dropout=settings.dropout,
        )
        encoder, head = original.encoder, original.head
        network, divisor = (original, 2**depth) if padded else (Mirrored(original), 1)
    else:
        from .encoders import DIVISOR, EncoderUNet  # imports timm, which takes seconds

        network = EncoderUNet(
            settings.encoder,
            len(classes),
            depth=depth,
            width=width,
            upsampling=upsampling,
            norm=norm,
            dropout=settings.dropout,
        )
        encoder, head, divisor = network.encoder, network.head, DIVISOR
    model = SemanticModel(
        network,
        classes,
        loss=settings.loss,
        mean=settings.mean,
        std=settings.std,
        divisor=divisor,
        padding="reflect",
        long_side=settings.long_side,
        encoder=encoder,
    )
    last = {id(parameter) for parameter in head.parameters()}
    model.class_tensors = tuple(name for name, value in model.named_parameters() if id(value) in last)
    return model
