"""Settings of the plugin."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from toolkit.config import Settings
from toolkit.models.norms import Norm
from toolkit.models.semantic import IMAGENET_MEAN, IMAGENET_STD

Side = Annotated[int, Field(ge=1, le=8192)]


class SimpleSettings(Settings):
    """The network `architecture=simple`: for each entry of `channels` a convolution, ReLU and max pooling,
    then a hidden layer and the classes.
    """

    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 32, 64), min_length=1)
    """Channels of each convolution."""
    kernel: int = Field(default=3, ge=1)
    """Height and width of the convolutions' kernels."""
    stride: int = Field(default=1, ge=1)
    """Stride of the convolutions."""
    padding: int | None = Field(default=None, ge=0)
    """Zeros around the image for each convolution; `null` means half of the kernel, which keeps the size."""
    pool: int = Field(default=2, ge=1)
    """Height and width of the windows of max pooling."""
    pool_stride: int | None = Field(default=None, ge=1)
    """Stride of max pooling; `null` means that of its windows."""
    hidden: int = Field(default=128, ge=1)
    """Values in the hidden layer."""


class ClassifierSettings(Settings):
    """Network, loss and image preprocessing. `null` stands for the usual choice for the architecture."""

    architecture: str = "simple"
    """`simple` (three convolutions), `vgg16` (Simonyan and Zisserman 2014), or the name of a model of timm,
    such as `resnet18`.
    """
    simple: SimpleSettings = SimpleSettings()
    """Layers of `architecture=simple`."""
    norm: Norm | None = None
    """Norm after each convolution; `null` means none for `simple` and `vgg16`, and the model's own for those
    of timm.
    """
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate before the classes during training; for `vgg16` after each of its two hidden layers (0.5
    in the paper).
    """
    size: tuple[Side, Side] | None = None
    """Height and width to which images are resized for the network; `null` means 64 × 64 for `simple`, 224 ×
    224 for `vgg16`, and the published size for models of timm.
    """
    fit: Literal["stretch", "crop"] = "stretch"
    """How images of another aspect ratio are resized: `stretch` changes it, `crop` cuts off what is too much
    on both sides.
    """
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Part of the target that is spread evenly over all classes in the loss (Szegedy et al. 2016)."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of each channel (RGB, values in 0…1), which is subtracted."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of each channel, by which it is then divided."""

    @model_validator(mode="after")
    def _usable(self) -> ClassifierSettings:
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {self.std}")
        return self
