"""From settings to a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from toolkit.errors import ConfigError
from toolkit.models.encoders import drop_unused
from toolkit.models.norms import replace_batch_norms
from toolkit.models.semantic import SemanticModel

from .encoders import COARSEST, Encoder, build_encoder
from .network import DeepLab, DeepLabV3Head, DeepLabV3PlusHead
from .settings import DeepLabV3PlusSettings, DeepLabV3Settings


def build(settings: DeepLabV3Settings, classes: Sequence[str]) -> SemanticModel:
    """A DeepLabv3 with random weights.

    Raises:
        ConfigError: when the encoder is unknown or does not support the settings.
    """
    encoder = build_encoder(settings.encoder, settings.output_stride)
    head = DeepLabV3Head(
        encoder,
        len(classes),
        settings.rates(),
        channels=settings.channels,
        separable=settings.separable,
        image_pooling=settings.image_pooling,
        dropout=settings.dropout,
    )
    return _model(settings, encoder, head, classes)


def build_plus(settings: DeepLabV3PlusSettings, classes: Sequence[str]) -> SemanticModel:
    """A DeepLabv3+ with random weights.

    Raises:
        ConfigError: when the encoder is unknown or does not support the settings.
    """
    encoder = build_encoder(settings.encoder, settings.output_stride)
    if encoder.low_level is None:
        raise ConfigError(
            f"the encoder {settings.encoder!r} has no features at stride 4, which DeepLabv3+ needs. Hint:"
            " use another encoder"
        )
    head = DeepLabV3PlusHead(
        encoder,
        len(classes),
        settings.rates(),
        channels=settings.channels,
        low_level_channels=settings.low_level_channels,
        separable=settings.separable,
        image_pooling=settings.image_pooling,
        dropout=settings.dropout,
    )
    return _model(settings, encoder, head, classes)


def _model(
    settings: DeepLabV3Settings, encoder: Encoder, head: nn.Module, classes: Sequence[str]
) -> SemanticModel:
    network = DeepLab(encoder, head, settings.rates(), len(classes) if settings.auxiliary_weight else None)
    replace_batch_norms(network, settings.norm)
    drop_unused(network, network.backbone, (2 * COARSEST, 3 * COARSEST))
    model = SemanticModel(
        network,
        classes,
        loss=settings.loss,
        mean=settings.mean,
        std=settings.std,
        divisor=encoder.divisor,
        long_side=settings.long_side,
        encoder=network.backbone,
        auxiliary_weight=settings.auxiliary_weight,
        stride=max(encoder.divisor, settings.output_stride),
    )
    model.class_tensors = tuple(
        f"network.{name}.{kind}" for name in network.last_layers() for kind in ("weight", "bias")
    )
    return model
