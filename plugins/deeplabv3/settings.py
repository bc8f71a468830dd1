"""Settings of the plugin."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from toolkit.config import Settings
from toolkit.models.losses import SegmentationLossSettings
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD

OutputStride = Literal[8, 16, 32]

PUBLISHED_REACH = (96, 192, 288)
"""Atrous rates in pixels of the image: 12, 24 and 36 at an output stride of 8, as in the paper."""


class DeepLabV3Settings(Settings):
    """Network, loss and image preprocessing."""

    encoder: str = "resnet50"
    """An encoder of segmentation_models.pytorch, `tu-` followed by a timm model, or torchvision's
    `mobilenet_v3_large`.
    """
    output_stride: OutputStride = 8
    """Output stride of the encoder: 8 and 16 use dilation; 32 leaves the encoder unchanged.
    """
    atrous_rates: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Dilations of the 3 × 3 convolutions of the pyramid; `null` means 12, 24, 36 at an output stride of 8,
    half of that at 16, a quarter at 32.
    """
    image_pooling: bool = True
    """Whether the pyramid has an image pooling branch."""
    channels: int = Field(default=256, ge=1)
    """Channels of each branch of the pyramid, and after it."""
    separable: bool = False
    """Depthwise-separable 3 × 3 convolutions after the encoder: fewer parameters and operations."""
    norm: Literal["batch", "group"] = "batch"
    """Norm after each convolution, including the encoder's; `group` works with small batches, but published
    weights need `batch`.
    """
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout rate after the pyramid during training."""
    auxiliary_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the loss of an auxiliary head on the second-to-last stage, used only in training; 0 means no
    auxiliary head.
    """
    loss: SegmentationLossSettings = SegmentationLossSettings()
    """Training loss."""
    long_side: int | None = Field(default=None, ge=1)
    """Images with a longer side above this many pixels are downscaled for the network; predictions keep the
    image's own size.
    """
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of each channel (RGB, values in 0…1), which is subtracted."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of each channel, by which it is then divided."""

    @field_validator("atrous_rates")
    @classmethod
    def _positive(cls, rates: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if rates is not None and min(rates) < 1:
            raise ValueError("atrous rates must be 1 or more")
        return rates

    @field_validator("std")
    @classmethod
    def _divisible(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(std) <= 0:
            raise ValueError("std must be above 0")
        return std

    def rates(self) -> tuple[int, ...]:
        """The atrous rates, with the defaults where they are None."""
        return self.atrous_rates or tuple(reach // self.output_stride for reach in PUBLISHED_REACH)


class DeepLabV3PlusSettings(DeepLabV3Settings):
    """Network, loss and image preprocessing."""

    output_stride: OutputStride = 16
    """Output stride of the encoder: 8 and 16 use dilation; 32 leaves the encoder unchanged.
    """
    separable: bool = True
    """Depthwise-separable 3 × 3 convolutions after the encoder: fewer parameters and operations."""
    low_level_channels: int = Field(default=48, ge=1)
    """Channels to which the stride-4 features are reduced before they are concatenated."""
