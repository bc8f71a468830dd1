"""U-Net's decoder on the encoders of segmentation_models.pytorch, including those of timm."""

from __future__ import annotations

import warnings

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from toolkit.errors import ConfigError
from toolkit.models.encoders import UNFIT_ENCODER, check_encoder_name, drop_unused
from toolkit.models.norms import Norm, replace_batch_norms

from .settings import ORIGINALS, Upsampling

DIVISOR = 32
"""Images must be a multiple of this many pixels high and wide, at any depth: some encoders' attention
windows need it even at small depths.
"""


class EncoderUNet(nn.Module):
    """An encoder with a U-Net decoder, for images whose height and width are multiples of ``DIVISOR``.

    Args:
        encoder_name: name in segmentation_models.pytorch, or ``tu-`` followed by a timm model.
        classes: channels of the logits.
        depth: number of times the resolution is halved, 1 to 5.
        width: channels of the decoder at full resolution, doubled at each halving.
        upsampling: how the decoder upsamples; transposed puts a learned 2 × 2 transposed convolution before
            each of its blocks.
        norm: replaces every batch norm, including the encoder's; layer norms stay.
        dropout: dropout rate of the deepest features.

    Raises:
        ConfigError: when there is no such encoder, or it does not support this depth or images of any size.
    """

    def __init__(
        self,
        encoder_name: str,
        classes: int,
        *,
        depth: int = 5,
        width: int = 16,
        upsampling: Upsampling = "nearest",
        norm: Norm = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_encoder_name(encoder_name, also=ORIGINALS)
        self.encoder_name, self.depth = encoder_name, depth
        channels = [width * 2**level for level in reversed(range(depth))]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "`timm-` encoders are deprecated", DeprecationWarning
                )  # they work, and users rely on them
                whole = smp.Unet(
                    encoder_name,
                    encoder_depth=depth,
                    encoder_weights=None,
                    decoder_channels=channels,
                    decoder_interpolation="nearest" if upsampling == "transposed" else upsampling,
                    classes=classes,
                )
            self.encoder, self.decoder, self.head = whole.encoder, whole.decoder, whole.segmentation_head
            self.decoder.center = nn.Sequential(nn.Dropout(dropout), self.decoder.center)
            if upsampling == "transposed":
                inputs = [self.encoder.out_channels[-1], *channels[:-1]]
                blocks = zip(self.decoder.blocks, inputs, strict=True)
                self.decoder.blocks = nn.ModuleList(
                    TransposedUpsampling(block, count) for block, count in blocks
                )
            replace_batch_norms(self, norm)
            drop_unused(self, self.encoder, (2 * DIVISOR, 3 * DIVISOR))
        except UNFIT_ENCODER as error:
            raise ConfigError(
                f"the encoder {encoder_name!r} cannot be used with depth {depth} and images of any size:"
                f" {error}. Hint: use another encoder, or another depth"
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes, H, W]`` of images ``[B, 3, H, W]``."""
        logits: Tensor = self.head(self.decoder(self.encoder(images)))
        return logits


class TransposedUpsampling(nn.Module):
    """A learned up-convolution before a decoder block, whose own interpolation then has no effect."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.upsampling = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.block = block

    def forward(
        self, features: Tensor, height: int, width: int, skip_connection: Tensor | None = None
    ) -> Tensor:
        """Features ``[B, C, height, width]`` from features of half that size and the skip of that size."""
        merged: Tensor = self.block(self.upsampling(features), height, width, skip_connection=skip_connection)
        return merged
