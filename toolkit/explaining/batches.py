"""Scores of many images in batches, which become smaller when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.runtime.memory import NotEnoughMemoryError, ran_out_of_memory
from toolkit.types.checking import describe
from toolkit.wording import counted

log = logging.getLogger(__name__)

Score: TypeAlias = Callable[[Tensor], Tensor]
"""Takes images, uint8 ``[N, 3, H, W]``, and returns a number for each, floating ``[N]``: how strongly the
model still sees what is explained. Called without gradients.
"""

PIXELS = 4_000_000
"""Most pixels in a batch of images, so that photos of 12 megapixels do not fill the memory."""

WINDOW_PIXELS = 400_000
"""Most pixels in a batch of windows, unless the batch size that was asked for has more: larger batches do not
stay in the caches of a CPU, and take a fifth longer per window.
"""


class Batches:
    """Scores numbered images in batches.

    Args:
        score: see ``Score``.
        size: images per batch; it is halved when memory runs out, and stays so.
    """

    def __init__(self, score: Score, size: int) -> None:
        self.score, self.size = score, size
        self.calls = 0
        """The number of images that were scored."""

    def run(self, numbers: Sequence[int], images_of: Callable[[Sequence[int]], Tensor]) -> Tensor:
        """The scores of the images that ``images_of`` makes for some of ``numbers`` at a time.

        Returns:
            float64 ``[len(numbers)]`` on the CPU.

        Raises:
            InvalidDataError: when there is not one finite score per image.
            NotEnoughMemoryError: when there is not enough memory even for one image.
        """
        found: list[Tensor] = []
        done = 0
        while done < len(numbers):
            batch = numbers[done : done + self.size]
            try:
                with torch.no_grad():
                    scores = self.score(images_of(batch))
            except (RuntimeError, MemoryError) as error:
                if not ran_out_of_memory(error):
                    raise
                too_large, reason = len(batch), str(error).splitlines()[:1]
            else:
                found.append(_checked(scores, len(batch)))
                done += len(batch)
                continue
            # outside of the handler, which keeps the tensors of the failed batch alive
            self._halve(too_large, "".join(reason))
        self.calls += len(numbers)
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)

    def _halve(self, size: int, reason: str) -> None:
        if size == 1:
            raise NotEnoughMemoryError(
                f"there is not enough memory for one image at a time: {reason or 'allocation failed'}. Hint:"
                " shrink the photo, or compute on another device with --device cpu"
            )
        self.size = size // 2
        log.warning(
            "Not enough memory for %s at a time; continuing with %d", counted(size, "image"), self.size
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def batch_size(requested: int, size: tuple[int, int], area: int | None = None) -> int:
    """The batch size for photos of a size: as requested, or fewer if they are large. If only a window of
    ``area`` pixels is predicted, a batch has up to ``WINDOW_PIXELS`` pixels, but no more than one of whole
    photos.
    """
    whole = size[0] * size[1]
    if area is None:
        return max(1, min(requested, PIXELS // whole))
    return max(1, min(requested * whole, max(requested * area, WINDOW_PIXELS), PIXELS) // area)


def _checked(scores: Tensor, count: int) -> Tensor:
    if not isinstance(scores, Tensor) or tuple(scores.shape) != (count,):
        raise InvalidDataError(
            f"the score must be a tensor with one number per image, [{count}], not {describe(scores)}"
        )
    scores = scores.detach().double().cpu()
    if not bool(torch.isfinite(scores).all()):
        raise InvalidDataError(
            "the score of a masked image is NaN or infinite. Hint: if the model computes in bf16, use"
            " --precision fp32"
        )
    return scores
