"""Panoptic segmentation: every pixel belongs to at most one segment, a thing or a region of stuff."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import InvalidDataError
from toolkit.types.basics import VOID, Size
from toolkit.types.checking import check, check_tensor, describe, pixels
from toolkit.types.equality import ByValue
from toolkit.types.instances import Instances
from toolkit.types.masks import Masks
from toolkit.wording import counted


@dataclass(frozen=True)
class Segment:
    """The properties of one segment of an image.

    Attributes:
        label: index of its class.
        is_thing: whether it is one object, rather than a region of stuff such as sky.
        is_crowd: whether it is a crowd of objects, in the truth.
        score: score of a predicted thing; None in the truth and for stuff.
    """

    label: int
    is_thing: bool
    is_crowd: bool = False
    score: float | None = None


@dataclass(frozen=True, eq=False)
class PanopticMap(ByValue):
    """The segments of one image. Augmentation transforms it together with the image.

    Attributes:
        numbers: int32 ``[H, W]``: 0 is void, and ``n`` is ``segments[n - 1]``.
        segments: their properties; each covers at least one pixel.

    Raises:
        InvalidDataError: when a number has no segment, a segment no pixel, or a value is of the wrong type.
    """

    numbers: Tensor
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        check_tensor("PanopticMap", "numbers", self.numbers, torch.int32, (None, None))
        fits = isinstance(self.segments, tuple) and all(isinstance(each, Segment) for each in self.segments)
        check(fits, f"PanopticMap.segments must be a tuple of Segment, not {describe(self.segments)}")
        for place, segment in enumerate(self.segments):
            check(segment.label >= 0, f"PanopticMap.segments[{place}].label is below 0: {segment.label}")
            odd = segment.score is not None and not math.isfinite(segment.score)
            check(
                not odd, f"PanopticMap.segments[{place}].score is {segment.score}; expected a finite number"
            )
        low, high = (int(end) for end in torch.aminmax(self.numbers)) if self.numbers.numel() else (0, 0)
        if low < 0 or high > len(self.segments):
            raise InvalidDataError(
                f"PanopticMap.numbers has {low if low < 0 else high}, but there are"
                f" {counted(len(self.segments), 'segment')}: expected 0 for void, and 1 to that number"
            )
        empty = np.flatnonzero(self.areas() == 0)
        check(not len(empty), f"PanopticMap.segments[{empty[:1].tolist()}] covers no pixel")

    @classmethod
    def compacted(cls, numbers: Tensor, segments: Sequence[Segment | None]) -> PanopticMap:
        """The same without segments that cover no pixels, and with void in place of segments that are None.

        Args:
            numbers: int32 ``[H, W]``, as in ``PanopticMap``.
            segments: one per number from 1 on.
        """
        counts = _counts(numbers, len(segments))
        kept = [i for i, each in enumerate(segments) if each is not None and counts[i + 1]]
        if len(kept) == len(segments):
            return cls(numbers, tuple(each for each in segments if each is not None))
        table = torch.zeros(len(segments) + 1, dtype=torch.int32)
        table[torch.tensor(kept, dtype=torch.int64) + 1] = torch.arange(1, len(kept) + 1, dtype=torch.int32)
        return cls(table[numbers.long()], tuple(each for i in kept if (each := segments[i]) is not None))

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return int(self.numbers.shape[0]), int(self.numbers.shape[1])

    def __repr__(self) -> str:
        things = sum(segment.is_thing for segment in self.segments)
        parts = f"{counted(things, 'thing')}, {len(self.segments) - things} of stuff"
        return f"PanopticMap({pixels(self.size)}, {parts})"

    def areas(self) -> NDArray[np.int64]:
        """The number of pixels of each segment, int64 ``[N]``."""
        return _counts(self.numbers, len(self.segments))[1:]

    def relabeled(self, labels: Sequence[int | None]) -> PanopticMap:
        """The same segments with other class indexes.

        Args:
            labels: the new index of each class; segments of a class with None become void.
        """
        changed = [
            None if (label := labels[segment.label]) is None else replace(segment, label=label)
            for segment in self.segments
        ]
        return PanopticMap.compacted(self.numbers, changed)

    def label_map(self) -> Tensor:
        """The class of every pixel, uint8 ``[H, W]``, with ``VOID`` outside of segments; pixels of a crowd
        have its class.

        Raises:
            InvalidDataError: when a label is beyond 254, the largest that a label map holds.
        """
        labels = [VOID, *(segment.label for segment in self.segments)]
        most = max(labels[1:], default=0)
        check(most < VOID, f"a label map can hold class indexes up to {VOID - 1}, not {most}")
        return torch.tensor(labels, dtype=torch.uint8)[self.numbers.long()]

    def things(self) -> Instances:
        """The things as instances with tight boxes, in the order of the segments; with scores if all have
        one.
        """
        numbers = [i for i, segment in enumerate(self.segments, start=1) if segment.is_thing]
        return self.instances(numbers)

    def instances(self, numbers: Sequence[int]) -> Instances:
        """Some of the segments as instances.

        Args:
            numbers: numbers of segments, as in the map's ``numbers``.
        """
        chosen = [self.segments[number - 1] for number in numbers]
        codes = [Masks.from_dense((self.numbers == number)[None]).counts[0] for number in numbers]
        masks = Masks.encoded(self.size, codes)
        crowds = torch.tensor([segment.is_crowd for segment in chosen], dtype=torch.bool)
        scores = [segment.score for segment in chosen if segment.score is not None]
        scored = bool(chosen) and len(scores) == len(chosen)
        return Instances(
            self.size,
            masks.boxes_xyxy(),
            torch.tensor([segment.label for segment in chosen], dtype=torch.int64),
            masks,
            torch.tensor(scores, dtype=torch.float32) if scored else None,
            is_crowd=crowds if bool(crowds.any()) else None,
        )


def _counts(numbers: Tensor, segments: int) -> NDArray[np.int64]:
    """The number of pixels of void and of each segment, int64 ``[N + 1]``."""
    return np.bincount(numbers.numpy().ravel(), minlength=segments + 1).astype(np.int64)
