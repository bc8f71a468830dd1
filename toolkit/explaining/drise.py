"""RISE and D-RISE: which parts of a photo a prediction depends on, from predictions alone.

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018;
Petsiuk et al., "Black-box Explanation of Object Detectors via Saliency Maps", CVPR 2021. Parts of the photo
are hidden at random, many times. The map is, for each pixel, the mean score of the photos in which the pixel
is visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.explaining.batches import Batches, Score, batch_size
from toolkit.explaining.random_masks import SHIFTS, RandomMasks, draw_masks
from toolkit.explaining.ranks import correlation
from toolkit.explaining.windows import TRIED, Window

Shortcut: TypeAlias = "Callable[[Tensor, Sequence[float]], tuple[Window, Score] | None]"

STABLE = 0.8
"""The correlation between the maps of both halves of the masks from which on a map counts as stable. The map
of all masks then has one of about 0.94 with the map of infinitely many: the square root of 2 r / (1 + r)
(Spearman and Brown). It is not that of the ranks, because where nothing matters they are noise, however many
masks there are.
"""

AT_A_TIME = 100
"""How many masks are scored before it is checked whether the map is stable."""

ENOUGH = 500
"""Number of masks after which a map is given up as constant if all of them had the same score."""

COARSE = 48
"""Points along the longer side of the maps whose stability is checked."""


@dataclass(frozen=True)
class DriseOptions:
    """How a map is computed.

    Attributes:
        masks: the most masks that are used.
        cells: cells of a mask along the photo's longer side; objects smaller than a cell are not resolved.
        keep: probability that a cell is visible.
        batch_size: photos per batch; fewer for large photos, and when memory runs out.
        stable: stop when the maps of both halves of the masks have this correlation; None: use all.
        seed: of the masks.
    """

    masks: int = 5000
    cells: int = 16
    keep: float = 0.5
    batch_size: int = 16
    stable: float | None = STABLE
    seed: int = 0


@dataclass(frozen=True, eq=False)
class DriseMap:
    """A map, and how it came about.

    Attributes:
        map: float32 ``[H, W]``, the mean score of the photos in which a pixel is visible.
        masks: how many masks were used.
        stability: correlation of the maps of both halves of the masks; NaN for a constant map, or if
            there was one mask.
        mean: mean of the scores; where the map is above it, visible pixels raise the score.
        spread: standard deviation of the scores; 0 if nothing that was hidden mattered.
        window: the part of the photo that was predicted after the first masks; None: all of it.
    """

    map: Tensor
    masks: int
    stability: float
    mean: float
    spread: float
    window: Window | None = None


def drise(
    score: Score,
    image: Tensor,
    options: DriseOptions | None = None,
    *,
    masks: RandomMasks | None = None,
    shortcut: Shortcut | None = None,
    progress: Callable[[int], object] | None = None,
) -> DriseMap:
    """Explain a score of a photo, without gradients.

    Args:
        score: see ``Score``.
        image: uint8 ``[3, H, W]``.
        options: see ``DriseOptions``.
        masks: masks of the photo's size to use instead of random ones.
        shortcut: called with the first masked photos and their scores; returns a window of the photo in which
            the others can be scored, with the score of photos that are cropped to it, or None.
        progress: called with the number of masks scored so far.

    Raises:
        InvalidDataError: when a score is not finite.
        NotEnoughMemoryError: when memory does not suffice for a single photo.
    """
    options = options or DriseOptions()
    height, width = (int(length) for length in image.shape[1:])
    if masks is None:
        masks = draw_masks(
            (height, width), options.masks, cells=options.cells, keep=options.keep, seed=options.seed
        )
    batches = Batches(score, batch_size(options.batch_size, (height, width)))
    painter, sums, window = Masked(image, masks), _Sums(masks), None
    stability = math.nan
    for numbers in _portions(len(masks), TRIED if shortcut else AT_A_TIME):
        scores = batches.run(numbers, painter.images)
        sums.add(numbers, scores)
        if shortcut is not None and numbers.start == 0 and len(masks) > TRIED:
            found = shortcut(painter.images(numbers), scores.tolist())
            if found is not None:
                window, cropped = found
                painter = Masked(image, masks, window)
                size = batch_size(options.batch_size, (height, width), window.area)
                batches = Batches(cropped, size)
        if progress is not None:
            progress(numbers.stop)
        last = numbers.stop == len(masks)
        if numbers.stop % AT_A_TIME and not last:
            continue
        if options.stable is not None or last:
            stability = sums.stability()
        if options.stable is not None and (stability >= options.stable or sums.nothing_matters()):
            break
    return DriseMap(sums.map(), sums.count, stability, *sums.moments(), window)


def _portions(count: int, first: int) -> Iterator[range]:
    """The numbers of ``count`` masks: the ``first`` ones, then those up to each multiple of ``AT_A_TIME``."""
    start = 0
    while start < count:
        stop = first if start == 0 else (start // AT_A_TIME + 1) * AT_A_TIME
        yield range(start, min(stop, count))
        start = stop


class Masked:
    """Photos of which random parts are replaced by the photo's mean color.

    Args:
        image: uint8 ``[3, H, W]``.
        masks: masks of its size.
        window: the part of the photo to return; None: all of it.
    """

    def __init__(self, image: Tensor, masks: RandomMasks, window: Window | None = None) -> None:
        self._fill, self._masks = mean_color(image), masks
        part = image if window is None else window.crop(image)
        self._difference = part.float() - self._fill
        self._slices = (slice(None), slice(None)) if window is None else window.slices

    def images(self, numbers: Sequence[int]) -> Tensor:
        """The photo under some of the masks, uint8 ``[n, 3, H, W]``."""
        visible = self._masks.full(numbers, self._slices)[:, None]
        return (self._difference * visible).add_(self._fill).round_().to(torch.uint8)


def mean_color(image: Tensor) -> Tensor:
    """The mean color of a photo, float32 ``[3, 1, 1]``."""
    return image.float().mean(dim=(1, 2), keepdim=True)


class _Sums:
    """Weighted sums of masks, for each half of them and for each shift as sums of their coarse grids."""

    def __init__(self, masks: RandomMasks) -> None:
        self._masks = masks
        shape = (2, SHIFTS * SHIFTS, *masks.grids.shape[1:])
        self._weighted = torch.zeros(shape, dtype=torch.float64)
        self._visible = torch.zeros(shape, dtype=torch.float64)
        self._scores: list[Tensor] = []
        self.count = 0
        longest = max(masks.size)
        step = max(1, longest // COARSE)
        self._few = tuple(matrices[:, step // 2 :: step].double() for matrices in masks.enlargements)

    def add(self, numbers: range, scores: Tensor) -> None:
        """Add masks with their scores, float64 ``[n]``."""
        chosen = torch.as_tensor(numbers)
        half = chosen % 2
        shift = self._masks.shifts[chosen] @ torch.tensor([SHIFTS, 1])
        grids = self._masks.grids[chosen].double()
        self._visible.index_put_((half, shift), grids, accumulate=True)
        self._weighted.index_put_((half, shift), grids * scores[:, None, None], accumulate=True)
        self._scores.append(scores)
        self.count += len(numbers)

    def map(self) -> Tensor:
        """The map in full size, float32 ``[H, W]``."""
        rows, columns = (matrices.double() for matrices in self._masks.enlargements)
        return self._mean(self._weighted.sum(0), self._visible.sum(0), rows, columns).float()

    def stability(self) -> float:
        """The correlation of the maps of the masks with even and with odd numbers."""
        if self.count < 2:
            return math.nan
        first, second = (
            self._mean(self._weighted[half], self._visible[half], *self._few).numpy() for half in (0, 1)
        )
        return correlation(_rounded(first), _rounded(second))

    def nothing_matters(self) -> bool:
        """Whether all of many masks have the same score."""
        return self.count >= ENOUGH and self.moments()[1] == 0

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the scores."""
        scores = torch.cat(self._scores)
        return float(scores.mean()), float(scores.std(correction=0))

    def _mean(self, weighted: Tensor, visible: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        sums, weights = (_enlarged_sum(each, rows, columns) for each in (weighted, visible))
        return torch.where(weights > 0, sums / weights.clamp(min=1e-12), self.moments()[0])


def _enlarged_sum(sums: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The sum over all shifts of their sums of grids ``[SHIFTS², h, w]``, enlarged, ``[H, W]``."""
    by_shift = sums.view(SHIFTS, SHIFTS, *sums.shape[1:])
    total = rows.new_zeros(rows.shape[1], columns.shape[1])
    for up in range(SHIFTS):
        # all shifts along the width at once: [h, SHIFTS, w] with [SHIFTS, W, w]
        across = torch.einsum("shw,sxw->hx", by_shift[up], columns)
        total += rows[up] @ across
    return total


def _rounded(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Without the last digits, in which numbers that should be equal differ."""
    return np.round(values, 9)
