"""Which images a process gets next: in chunks, and again when the process that had them died."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

from toolkit.inference.inputs import InputImage

SECONDS = 2.0
"""What a chunk should take: long beside handing it out, short beside the whole work."""
MOST = 512
"""Number of images of a chunk at most."""
DEATHS = 2
"""An image that this many processes died with is recorded as failed."""


class HandOut:
    """The images that are left to do.

    Args:
        images: all of them, taken one after another and never listed.
        step: chunks have multiples of this many images: the size of a batch, so that batches are those that
            one process would make.
        total: number of images, if known.
        workers: number of processes.
    """

    def __init__(self, images: Iterable[InputImage], *, step: int, total: int | None, workers: int) -> None:
        self._images: Iterator[InputImage] = iter(images)
        self._step, self._left, self._workers = step, total, workers
        self._again: deque[InputImage] = deque()
        self._deaths: Counter[str] = Counter()

    def is_empty(self) -> bool:
        """Whether no image is left to hand out."""
        if self._again:
            return False
        first = list(itertools.islice(self._images, 1))
        self._images = itertools.chain(first, self._images)
        return not first

    def take(self, images_per_second: float | None) -> list[InputImage]:
        """The images of the next chunk; empty when none are left.

        Args:
            images_per_second: the pace of the process that gets it; None if unknown.
        """
        if self._again:
            # Alone, so that it is known which image a process dies with.
            return [self._again.popleft()]
        chunk = list(itertools.islice(self._images, self._size(images_per_second)))
        if self._left is not None:
            self._left = max(0, self._left - len(chunk))
        return chunk

    def _size(self, images_per_second: float | None) -> int:
        wanted = (images_per_second or 0.0) * SECONDS
        if self._left is not None:
            # So that all end at about the same time.
            wanted = min(wanted, self._left / (2 * self._workers))
        return max(self._step, min(MOST, math.ceil(wanted)) // self._step * self._step)

    def give_back(self, images: Sequence[InputImage], *, died: bool) -> list[InputImage]:
        """Take back images that a process has not done.

        Args:
            images: those of one chunk.
            died: whether it died while it had this chunk; otherwise it had not begun.

        Returns:
            Those that are given up, because too many processes died with them.
        """
        lost = []
        for image in images:
            if died and len(images) == 1:
                self._deaths[image.name] += 1
            if self._deaths[image.name] >= DEATHS:
                lost.append(image)
            else:
                self._again.append(image)
        return lost
