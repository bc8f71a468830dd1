"""Settings of the plugin."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from toolkit.config import Settings
from toolkit.models.losses import SegmentationLossSettings
from toolkit.models.norms import Norm
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD

Upsampling = Literal["nearest", "bilinear", "transposed"]

ORIGINALS = ("original", "original_padded")


class UNetSettings(Settings):
    """Network, loss and image preprocessing. `null` stands for the usual choice for the encoder."""

    encoder: str = "resnet18"
    """`original` (the 2015 network, unpadded), `original_padded`, an encoder of segmentation_models.pytorch,
    or `tu-` followed by a timm model.
    """
    depth: int | None = Field(default=None, ge=1, le=8)
    """How many times the resolution is halved; `null` means 4 for the originals and 5 (the maximum) for
    encoders.
    """
    width: int | None = Field(default=None, ge=1)
    """Channels at full resolution, doubled at each halving; `null` means 64 for the originals and 16 for the
    decoder on an encoder.
    """
    upsampling: Upsampling | None = None
    """How the decoder upsamples; `null` means transposed for the originals and nearest on an encoder.
    """
    norm: Norm | None = None
    """Norm after each convolution, including the encoder's; `null` means no norm for the originals and batch
    on an encoder.
    """
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate of the deepest features during training."""
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

    @property
    def is_original(self) -> bool:
        """Whether this is one of the two original networks, which have no pretrained encoder."""
        return self.encoder in ORIGINALS

    @model_validator(mode="after")
    def _usable(self) -> UNetSettings:
        if not self.is_original and self.depth is not None and self.depth > 5:
            raise ValueError(
                f"depth must be at most 5 with the encoder {self.encoder!r}; only the original U-Nets can be"
                " deeper"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {self.std}")
        return self

    def filled(self) -> tuple[int, int, Upsampling, Norm]:
        """Depth, width, upsampling and norm, with the usual choices where they are None."""
        depth, width, upsampling, norm = _USUAL[self.is_original]
        return self.depth or depth, self.width or width, self.upsampling or upsampling, self.norm or norm


_USUAL: dict[bool, tuple[int, int, Upsampling, Norm]] = {
    True: (4, 64, "transposed", "none"),
    False: (5, 16, "nearest", "batch"),
}
