"""What can be set."""

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
    """The network, its loss and what is done to the images."""

    encoder: str = "resnet50"
    """An encoder of segmentation_models.pytorch, `tu-` and a model of timm, or `mobilenet_v3_large` as
    torchvision has it.
    """
    output_stride: OutputStride = 8
    """Pixels for one value of the deepest features: 8 or 16 by dilation in the encoder; 32 leaves the encoder
    as it is.
    """
    atrous_rates: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Dilations of the 3 × 3 convolutions of the pyramid; None is 12, 24, 36 at an output stride of 8, half
    at 16, a quarter at 32.
    """
    image_pooling: bool = True
    """Whether the pyramid has a level that pools over the whole image."""
    channels: int = Field(default=256, ge=1)
    """Channels of each level of the pyramid, and after it."""
    separable: bool = False
    """Depthwise-separable 3 × 3 convolutions after the encoder: fewer parameters and operations."""
    norm: Literal["batch", "group"] = "batch"
    """Norm after each convolution, the encoder's too; group does not mind small batches, but published
    weights need batch.
    """
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Chance that a value after the pyramid is dropped while training."""
    auxiliary_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the loss of an auxiliary head on the stage before the last, which is there for learning only;
    0: no such head.
    """
    loss: SegmentationLossSettings = SegmentationLossSettings()
    """What is minimized."""
    long_side: int | None = Field(default=None, ge=1)
    """Longer images are shrunk to this many pixels for the network; predictions stay in the image's own grid.
    """
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from each channel (RGB, values in 0…1)."""
    std: tuple[float, float, float] = IMAGENET_STD
    """What each channel is divided by then."""

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
        """The atrous rates, the usual ones where they are None."""
        return self.atrous_rates or tuple(reach // self.output_stride for reach in PUBLISHED_REACH)


class DeepLabV3PlusSettings(DeepLabV3Settings):
    """The network, its loss and what is done to the images."""

    output_stride: OutputStride = 16
    """Pixels for one value of the deepest features: 8 or 16 by dilation in the encoder; 32 leaves the encoder
    as it is.
    """
    separable: bool = True
    """Depthwise-separable 3 × 3 convolutions after the encoder: fewer parameters and operations."""
    low_level_channels: int = Field(default=48, ge=1)
    """Channels that the features of stride 4 are reduced to before they join in."""
