"""Random smooth masks, as in RISE: a coarse grid of zeros and ones, enlarged and shifted at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.errors import UsageError
from toolkit.types import Size

SHIFTS = 8
"""How many different shifts there are along each axis; RISE's are all pixels of a cell."""


@dataclass(frozen=True, eq=False)
class RandomMasks:
    """Masks of one size, kept as their coarse grids.

    A mask is bilinear in its grid, and the enlargement is the same for all masks with the same shift: so a
    mask is the product of three small matrices, ``rows @ grid @ columns.T``, and a weighted sum of thousands
    of masks is one such product for each shift.

    Attributes:
        size: height and width of the masks.
        grids: float32 ``[N, h, w]`` of zeros and ones.
        shifts: int64 ``[N, 2]``, numbers of the shifts along height and width, below ``SHIFTS``.
        cells: the size of a cell in pixels, along height and width.
    """

    size: Size
    grids: Tensor
    shifts: Tensor
    cells: tuple[int, int]

    def __len__(self) -> int:
        return len(self.grids)

    @cached_property
    def enlargements(self) -> tuple[Tensor, Tensor]:
        """For each shift, the matrix that enlarges a grid along height, float32 ``[SHIFTS, H, h]``, and that
        along width, ``[SHIFTS, W, w]``.
        """
        rows, columns = (
            _enlargements(length, cell, points)
            for length, cell, points in zip(self.size, self.cells, self.grids.shape[1:], strict=True)
        )
        return rows, columns

    def full(self, numbers: Sequence[int], part: tuple[slice, slice] = (slice(None), slice(None))) -> Tensor:
        """Some of the masks in full size, float32 ``[n, H, W]``, from 0 (hidden) to 1 (visible), or some of
        their rows and columns.
        """
        rows, columns = (each[:, kept] for each, kept in zip(self.enlargements, part, strict=True))
        chosen = torch.as_tensor(numbers, dtype=torch.int64)
        up, left = self.shifts[chosen].unbind(1)
        return rows[up] @ self.grids[chosen] @ columns[left].transpose(1, 2)


def draw_masks(size: Size, count: int, *, cells: int = 16, keep: float = 0.5, seed: int = 0) -> RandomMasks:
    """Random masks; the first ones do not depend on how many are drawn.

    Args:
        size: height and width of the image.
        count: how many.
        cells: cells along the longer side; they are nearly square.
        keep: probability that a cell is visible.
        seed: of the random numbers.

    Raises:
        UsageError: when a number is out of range.
    """
    if count < 1 or cells < 1 or not 0 < keep < 1:
        raise UsageError(
            f"masks: found {count} masks of {cells} cells, {keep:g} of them visible; expected at least 1 mask"
            " and 1 cell, and a fraction between 0 and 1"
        )
    cell = max(1, math.ceil(max(size) / cells))
    height, width = (max(1, math.ceil(length / cell)) for length in size)
    # one row of numbers per mask, so that a longer list begins with the shorter one
    numbers = torch.rand((count, height * width + 2), generator=torch.Generator().manual_seed(seed))
    grids = (numbers[:, 2:] < keep).float().reshape(count, height, width)
    shifts = (numbers[:, :2] * SHIFTS).long().clamp(max=SHIFTS - 1)
    return RandomMasks(size, grids, shifts, (math.ceil(size[0] / height), math.ceil(size[1] / width)))


def _enlargements(length: int, cell: int, points: int) -> Tensor:
    """Matrices ``[SHIFTS, length, points]`` that enlarge a row of ``points`` numbers linearly to one cell
    more than it has, and leave out the part before each shift.
    """
    enlarged = F.interpolate(
        torch.eye(points)[None], size=(points + 1) * cell, mode="linear", align_corners=False
    )[0].T
    return torch.stack([enlarged[start : start + length] for start in _starts(cell)])


def _starts(cell: int) -> list[int]:
    return [number * cell // SHIFTS for number in range(SHIFTS)]
