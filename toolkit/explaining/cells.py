"""A photo divided into cells, which are hidden in the order that a map gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolkit.explaining.drise import mean_color
from toolkit.types import Size


@dataclass(frozen=True, eq=False)
class Cells:
    """Nearly square cells of one size, except at the border.

    Attributes:
        numbers: int64 ``[H, W]``, the cell of each pixel, from 0.
        centers: float32 ``[N, 2]``, row and column of each cell's center, from 0 to 1.
        areas: float64 ``[N]``, in pixels.
    """

    numbers: Tensor
    centers: Tensor
    areas: Tensor

    @classmethod
    def of(cls, size: Size, along: int) -> Cells:
        """The cells of a photo.

        Args:
            size: height and width, in pixels.
            along: cells along the longer side.
        """
        side = max(1, math.ceil(max(size) / along))
        rows, columns = (torch.arange(length) // side for length in size)
        height, width = int(rows[-1]) + 1, int(columns[-1]) + 1
        numbers = rows[:, None] * width + columns
        middle = [
            (torch.arange(n) + 0.5) * side / length for n, length in zip((height, width), size, strict=True)
        ]
        centers = torch.cartesian_prod(*middle).reshape(-1, 2).clamp(max=1)
        areas = torch.bincount(numbers.flatten(), minlength=height * width).double()
        return cls(numbers, centers, areas)

    def __len__(self) -> int:
        return len(self.areas)

    def means(self, values: Tensor) -> Tensor:
        """The mean of a map ``[H, W]`` in each cell, float64 ``[N]``."""
        return torch.bincount(self.numbers.flatten(), values.double().flatten(), len(self)) / self.areas

    def order(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """The numbers of the cells, the largest value first; equal ones in random order.

        Args:
            values: one per cell, ``[N]``.
            generator: of the random numbers.
        """
        shuffled = torch.randperm(len(self), generator=generator)
        return shuffled[values[shuffled].argsort(descending=True, stable=True)]


class Hidden:
    """Photos with hidden cells.

    Args:
        image: uint8 ``[3, H, W]``.
        cells: its cells.
    """

    def __init__(self, image: Tensor, cells: Cells) -> None:
        self._image, self._cells = image, cells
        self._fill = mean_color(image).round().to(torch.uint8)

    def images(self, visible: Sequence[Tensor] | Tensor) -> Tensor:
        """The photo for each row of ``visible``, bool ``[n, N]``; hidden cells have the photo's mean color.

        Returns:
            uint8 ``[n, 3, H, W]``.
        """
        shown = torch.stack(tuple(visible))[:, self._cells.numbers][:, None]
        return torch.where(shown, self._image, self._fill)
