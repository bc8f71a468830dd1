"""The setting that says how the values of an image become the 8 bits that networks get. Imports no torch;
``toolkit.data.pixel_scale`` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from toolkit.config.settings import Settings

Depth: TypeAlias = Literal["8-bit", "16-bit", "32-bit", "float"]
Percent = Annotated[float, Field(ge=0, le=100)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

MIN_MAX = "min-max"


class Scale(Settings):
    """Which two values become black and white: exactly one of the first two settings."""

    percentiles: tuple[Percent, Percent] | None = None
    """Percentiles of the values of each image, such as `[1, 99]`; `[0, 100]` is `min-max`."""
    range: tuple[Finite, Finite] | None = None
    """The two values, the same for all images, such as `[0, 4095]`."""
    bit_depth: Depth | Literal["any"] | None = None
    """Depth of the images, of which no other is read: `8-bit`, `16-bit`, `32-bit` or `float`; `any` reads
    all. If empty, training sets it to that of the first training image.
    """

    @model_validator(mode="after")
    def _one_rule(self) -> Scale:
        given = [name for name in ("percentiles", "range") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"scale needs either percentiles or range, not {' and '.join(given) or 'neither'}. Hint:"
                " write min-max, {percentiles: [1, 99]} or {range: [0, 4095]}; null takes one back"
            )
        low, high = self.limits
        if low >= high:
            raise ValueError(f"the first of {given[0]} must be below the second, not {low:g} and {high:g}")
        return self

    @property
    def limits(self) -> tuple[float, float]:
        """The two percentiles, or the two values."""
        found = self.range if self.percentiles is None else self.percentiles
        assert found is not None  # one of them is there
        return found

    def in_words(self) -> str:
        """The rule, in a few words."""
        low, high = self.limits
        if self.range is not None:
            return f"{low:g} to {high:g}"
        if (low, high) == (0, 100):
            return "the smallest to the largest value of each image"
        return f"percentiles {low:g} to {high:g} of each image"


def _by_word(value: Any) -> Any:
    """Converts the word ``min-max`` to the percentiles that it stands for."""
    if isinstance(value, str) and value in ("", "none"):
        return None
    if isinstance(value, str) and str(value) == MIN_MAX:
        return {"percentiles": [0, 100]}
    if isinstance(value, (str, list, int, float)):
        raise ValueError("write min-max, {percentiles: [1, 99]} or {range: [0, 4095]}")
    return value


class ImageSettings(Settings):
    """Base of the settings of datasets whose images are files."""

    scale: Annotated[Scale | None, BeforeValidator(_by_word)] = None
    """How the values of images become 0…255: `min-max` and `{percentiles: [1, 99]}` of each image, or
    `{range: [0, 4095]}`. If empty, 16 bits are divided by 257, and numbers without a fixed range are an
    error. The run remembers it.
    """


def scale_of(config: Mapping[str, Any]) -> Scale | None:
    """The scale in the settings of a run, as a checkpoint has them; None without one.

    Raises:
        ValueError: when it is damaged.
    """
    given = ((config.get("data") or {}).get("options") or {}).get("scale")
    return None if given is None else Scale.model_validate(given)
