"""One color a class, computed by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.types import BACKGROUND

Palette: TypeAlias = Sequence[tuple[int, int, int]]
"""RGB colors, one a class."""


def voc_colors(n: int) -> NDArray[np.uint8]:
    """The first ``n`` colors of the PASCAL VOC devkit, uint8 ``[n, 3]``, black first.

    The bits of the index are dealt out to red, green and blue in turn, filling each from its top bit down.
    """
    index = np.arange(n)[:, None]
    channel = np.arange(3)
    colors = np.zeros((n, 3), np.int64)
    for bit in range(8):
        colors |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return colors.astype(np.uint8)


def default_palette(n: int, *, first: int = 0) -> tuple[tuple[int, int, int], ...]:
    """``n`` distinct RGB colors by PASCAL VOC's rule.

    Args:
        n: how many classes.
        first: where to start: 0 gives class 0 black, as suits a background; 1 skips black, for classes that
            are all objects.
    """
    return tuple((int(r), int(g), int(b)) for r, g, b in voc_colors(first + n)[first:])


def class_palette(classes: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """One color per class by PASCAL VOC's rule; black is left to a background."""
    return default_palette(len(classes), first=int(classes[0] != BACKGROUND))


def full_palette(palette: Palette) -> NDArray[np.uint8]:
    """Colors for 256 indexes or more, uint8 ``[N, 3]``: the given ones, then those of VOC's rule, so void is
    (224, 224, 192).
    """
    colors = voc_colors(max(256, len(palette)))
    colors[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)
    return colors
