"""What can be set."""

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
    """The network, its loss and what is done to the images. Where None is allowed it stands for the usual
    choice of the encoder.
    """

    encoder: str = "resnet18"
    """`original` (the 2015 network, unpadded), `original_padded`, an encoder of segmentation_models.pytorch,
    or `tu-` and a timm model.
    """
    depth: int | None = Field(default=None, ge=1, le=8)
    """How often the resolution is halved; None is 4 for the originals and 5 for encoders, which allow at most
    5.
    """
    width: int | None = Field(default=None, ge=1)
    """Channels at full resolution, doubled at every halving; None is 64 for the originals and 16 for the
    decoder on an encoder.
    """
    upsampling: Upsampling | None = None
    """How the decoder doubles the resolution; None is transposed for the originals and nearest on an encoder.
    """
    norm: Norm | None = None
    """Norm after each convolution, the encoder's too; None is none for the originals and batch on an encoder.
    """
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a value of the deepest features is dropped while training."""
    loss: SegmentationLossSettings = SegmentationLossSettings()
    """What is minimized."""
    long_side: int | None = Field(default=None, ge=1)
    """Longer images are shrunk to this many pixels for the network; predictions stay in the image's own grid.
    """
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from each channel (RGB, values in 0…1)."""
    std: tuple[float, float, float] = IMAGENET_STD
    """What each channel is divided by then."""

    @property
    def is_original(self) -> bool:
        """Whether this is one of the two networks without a foreign encoder."""
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
        """Depth, width, upsampling and norm, with the usual choice where they are None."""
        depth, width, upsampling, norm = _USUAL[self.is_original]
        return self.depth or depth, self.width or width, self.upsampling or upsampling, self.norm or norm


_USUAL: dict[bool, tuple[int, int, Upsampling, Norm]] = {
    True: (4, 64, "transposed", "none"),
    False: (5, 16, "nearest", "batch"),
}
