"""The settings of each augmentation that a recipe can list under ``augment``. Imports no torch;
``toolkit.data.transforms`` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from toolkit.config.settings import Settings

Probability = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=1)]
Position = Annotated[int, Field(ge=0)]


class Augmentation(Settings):
    """Base of the settings of an augmentation."""

    def in_words(self) -> str:
        """What it does, in a few words."""
        return type(self).__name__.lower()


class Flip(Augmentation):
    """Mirror the image."""

    name: Literal["flip"] = "flip"
    """Always `flip`."""
    p: Probability = 0.5
    """Probability that it is applied."""
    direction: Literal["horizontal", "vertical"] = "horizontal"
    """Swap left and right, or top and bottom."""
    keypoint_pairs: tuple[tuple[Position, Position], ...] | None = None
    """Positions, from 0, of the keypoints that a mirror image swaps, such as left and right eye: `[[1, 2],
    [3, 4]]`; `null` goes by their names in the dataset.
    """

    @model_validator(mode="after")
    def _swapped_once(self) -> Flip:
        every = [place for pair in self.keypoint_pairs or () for place in pair]
        twice = sorted({place for place in every if every.count(place) > 1})
        if twice:
            raise ValueError(f"keypoint_pairs has {', '.join(map(str, twice))} more than once")
        return self

    def in_words(self) -> str:
        """With the direction if it is vertical."""
        return "vertical flip" if self.direction == "vertical" else "flip"


class Rotate(Augmentation):
    """Rotate the image about its center and keep its size; areas outside the image are black and void."""

    name: Literal["rotate"] = "rotate"
    """Always `rotate`."""
    p: Probability = 0.5
    """Probability that it is applied."""
    degrees: float = Field(10.0, gt=0, le=180)
    """Largest angle, to either side."""

    def in_words(self) -> str:
        """With the largest angle."""
        return f"rotate up to {self.degrees:g}°"


class Scale(Augmentation):
    """Resize the image by a random factor, keeping its aspect ratio."""

    name: Literal["scale"] = "scale"
    """Always `scale`."""
    min: float = Field(0.5, gt=0)
    """Smallest factor."""
    max: float = Field(2.0, gt=0)
    """Largest factor."""
    keep_size: bool = False
    """Whether to restore the former size: a larger image is cropped at random, a smaller one is placed at
    random in black and void.
    """

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    def in_words(self) -> str:
        """With the factors."""
        return f"scale {self.min:g} to {self.max:g}"


class Resize(Augmentation):
    """Resize the image to a given size: exactly one of the three settings."""

    name: Literal["resize"] = "resize"
    """Always `resize`."""
    long_side: Pixels | None = None
    """Length of the longer side, in pixels; the aspect ratio is kept."""
    short_side: Pixels | None = None
    """Length of the shorter side, in pixels; the aspect ratio is kept."""
    size: tuple[Pixels, Pixels] | None = None
    """Height and width, in pixels; the aspect ratio may change."""

    @model_validator(mode="after")
    def _one_of(self) -> Resize:
        given = [name for name in ("long_side", "short_side", "size") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of long_side, short_side and size, not {' and '.join(given) or 'none'}"
            )
        return self

    def in_words(self) -> str:
        """With the size."""
        if self.size is not None:
            return f"resize to {self.size[0]} × {self.size[1]}"
        which, side = ("long", self.long_side) if self.long_side else ("short", self.short_side)
        return f"resize the {which} side to {side}"


class Crop(Augmentation):
    """Crop the image to a fixed size at random. A smaller image is placed at random in black and void of that
    size.
    """

    name: Literal["crop"] = "crop"
    """Always `crop`."""
    size: tuple[Pixels, Pixels]
    """Height and width of the window, in pixels."""

    def in_words(self) -> str:
        """With the size."""
        return f"crop {self.size[0]} × {self.size[1]}"


class Elastic(Augmentation):
    """Warp the image smoothly (Simard et al. 2003; used to train the original U-Net)."""

    name: Literal["elastic"] = "elastic"
    """Always `elastic`."""
    p: Probability = 0.5
    """Probability that it is applied."""
    amplitude: float = Field(10.0, gt=0)
    """Standard deviation of the displacement, in pixels."""
    spacing: float = Field(64.0, ge=4)
    """Distance between independent displacements, in pixels; larger is smoother."""


class Color(Augmentation):
    """Vary brightness, contrast, saturation and hue, in this order."""

    name: Literal["color"] = "color"
    """Always `color`."""
    p: Probability = 1.0
    """Probability that it is applied."""
    brightness: float = Field(0.2, ge=0, le=1)
    """The factor is drawn from 1 − this to 1 + this."""
    contrast: float = Field(0.2, ge=0, le=1)
    """The factor is drawn from 1 − this to 1 + this."""
    saturation: float = Field(0.2, ge=0, le=1)
    """The factor is drawn from 1 − this to 1 + this."""
    hue: float = Field(0.05, ge=0, le=0.5)
    """The shift is drawn from − this to + this, as a fraction of the color circle."""


class Blur(Augmentation):
    """Blur with a Gaussian."""

    name: Literal["blur"] = "blur"
    """Always `blur`."""
    p: Probability = 0.5
    """Probability that it is applied."""
    max_sigma: float = Field(1.5, gt=0.1, le=20)
    """Largest standard deviation, in pixels; the smallest is 0.1."""


AugmentSettings = Annotated[
    Flip | Rotate | Scale | Resize | Crop | Elastic | Color | Blur,
    Field(discriminator="name"),
]
"""Any augmentation, distinguished by ``name``."""


def _by_name(value: Any) -> Any:
    """Converts names to entries with default settings: ``flip,blur`` or ``[flip, blur]``; ``none`` for no
    augmentation.
    """
    if isinstance(value, str):
        value = [] if value in ("", "none") else [name.strip() for name in value.split(",")]
    if isinstance(value, Mapping):
        value = [value]
    return (
        [{"name": one} if isinstance(one, str) else one for one in value]
        if isinstance(value, list)
        else value
    )


AugmentList = Annotated[tuple[AugmentSettings, ...], BeforeValidator(_by_name)]
"""What a recipe lists under ``augment``."""
