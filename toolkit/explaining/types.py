"""The result of explaining one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types import Size, Target
from toolkit.types.checking import check, check_tensor
from toolkit.types.equality import ByValue

__all__ = ["Explanation", "Target"]


@dataclass(frozen=True, eq=False)
class Explanation(ByValue):
    """A map that says how much each pixel of an image matters for a target.

    Attributes:
        sample_id: the ``id`` of the sample.
        method: the name of the method, such as ``gradcam``.
        target: what is explained.
        layer: the layer whose features were used; None for methods that use none.
        map: float32 ``[H, W]`` in the pixels of the image; the larger, the more important.
        score: the target's score in the image, as the model computes it (``Explainable.score``), or, for
            methods that only use predictions, the similarity of the prediction with the target.
        figures: further numbers about the map, by name.

    Raises:
        InvalidDataError: when shapes or dtypes do not fit, or the map has NaN or infinite values.
    """

    sample_id: str
    method: str
    target: Target
    layer: str | None
    map: Tensor
    score: float
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = f"Explanation {self.sample_id!r}"
        check_tensor(owner, "map", self.map, torch.float32, (None, None))
        if not bool(torch.isfinite(self.map).all()):
            raise InvalidDataError(f"{owner}.map has NaN or infinite values")
        mask = self.target.mask
        check(
            mask is None or mask.shape == self.map.shape,
            f"{owner}.map is {list(self.map.shape)}, but the target's mask is"
            f" {None if mask is None else list(mask.shape)}",
        )

    @property
    def size(self) -> Size:
        """Height and width of the image, in pixels."""
        return int(self.map.shape[0]), int(self.map.shape[1])

    @property
    def peak(self) -> tuple[int, int]:
        """Row and column of the most important pixel; the first of several."""
        position = int(self.map.flatten().argmax())
        return position // self.size[1], position % self.size[1]
