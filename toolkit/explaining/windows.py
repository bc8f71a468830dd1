"""Windows of a photo that are enough to predict a target, so that masked photos are predicted faster.

What is far from an object often does not change its prediction. If that is so for a window, which is tried
with masked photos and not assumed, the other masked photos are cropped to it before they are predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from toolkit.explaining.batches import Batches, Score
from toolkit.types import Size, Target

GRID = 32
"""Windows begin and end at multiples of this, in pixels, or at the photo's border, so that a network whose
strides are no larger sees the same grid in them.
"""

MARGINS = (0.25, 0.5, 1.0, 2.0)
"""Margins around the target that are tried, as fractions of its longer side."""

LARGEST = 0.6
"""Windows with a larger part of the photo's area are not worth it."""

TRIED = 24
"""Number of masked photos that a window is tried with."""

SAME = 0.02
"""How far the score of a cropped photo may be from that of the whole one, of 1."""

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Window:
    """A part of a photo, in pixels, with the end exclusive.

    Attributes:
        top, left, bottom, right: its borders.
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def slices(self) -> Slices:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def crop(self, images: Tensor) -> Tensor:
        """The part of images ``[…, H, W]``."""
        return images[(..., *self.slices)]

    def target(self, target: Target) -> Target:
        """A target in the pixels of the window."""
        mask, box, prompts = target.mask, target.box_xyxy, target.prompts
        shift = torch.tensor([self.left, self.top], dtype=torch.float32)
        if prompts is not None:
            points, boxes = prompts.points_xy, prompts.boxes_xyxy
            prompts = replace(
                prompts,
                points_xy=None if points is None else points - shift,
                boxes_xyxy=None if boxes is None else boxes - shift.repeat(2),
            )
        return replace(
            target,
            mask=None if mask is None else self.crop(mask),
            box_xyxy=None if box is None else box - shift.repeat(2),
            prompts=prompts,
        )


def candidates(target: Target, size: Size) -> Iterator[Window]:
    """Windows around a target, the smallest first; none for a target that has no place in the photo, or that
    covers most of it.
    """
    borders = _borders(target)
    if borders is None:
        return
    top, left, bottom, right = borders
    previous = None
    for margin in MARGINS:
        reach = margin * max(bottom - top, right - left)
        window = Window(
            *(max(0, int((edge - reach) // GRID) * GRID) for edge in (top, left)),
            *(
                min(length, -int(-(edge + reach) // GRID) * GRID)
                for edge, length in zip((bottom, right), size, strict=True)
            ),
        )
        if window.area > LARGEST * size[0] * size[1]:
            return
        if window != previous:
            yield window
        previous = window


def sufficient(
    target: Target,
    size: Size,
    score_in: Callable[[Window], Score],
    images: Tensor,
    scores: Sequence[float],
    batch_size: int = TRIED,
) -> Window | None:
    """The smallest window in which the target gets the same scores as in the whole photo.

    Args:
        target: what is explained.
        size: height and width of the photo.
        score_in: the score of photos that are cropped to a window.
        images: masked photos, uint8 ``[N, 3, H, W]``, to try windows with.
        scores: their scores as a whole.
        batch_size: photos at a time.

    Returns:
        None if there is no such window, or the scores are all equal, so that they could not tell.
    """
    if len({*scores}) < 2:
        return None
    whole = torch.tensor(scores, dtype=torch.float64)
    for window in candidates(target, size):
        cropped = window.crop(images)
        found = Batches(score_in(window), batch_size).run(
            range(len(images)),
            lambda numbers: cropped[numbers[0] : numbers[-1] + 1],  # noqa: B023
        )
        if float((found - whole).abs().max()) <= SAME:
            return window
    return None


def _borders(target: Target) -> tuple[float, float, float, float] | None:
    """Top, left, bottom and right of a target."""
    if target.mask is not None and bool(target.mask.any()):
        rows, columns = target.mask.any(1).nonzero(), target.mask.any(0).nonzero()
        return float(rows[0]), float(columns[0]), float(rows[-1]) + 1, float(columns[-1]) + 1
    if target.box_xyxy is not None:
        left, top, right, bottom = target.box_xyxy.tolist()
        return top, left, bottom, right
    return None
