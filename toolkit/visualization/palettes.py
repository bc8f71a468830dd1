"""One color per class, computed by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.types import BACKGROUND

Palette: TypeAlias = Sequence[tuple[int, int, int]]
"""RGB colors, one per class."""


def voc_colors(n: int) -> NDArray[np.uint8]:
    """The first ``n`` colors of the PASCAL VOC devkit, uint8 ``[n, 3]``, black first.

    The bits of the index are assigned to red, green and blue in turn, from the highest bit down.
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
        n: number of classes.
        first: starting index: 0 makes class 0 black, for a background; 1 skips black, if all classes are
            objects.
    """
    return tuple((int(r), int(g), int(b)) for r, g, b in voc_colors(first + n)[first:])


def class_palette(classes: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """One color per class by PASCAL VOC's rule; black is reserved for a background."""
    return default_palette(len(classes), first=int(classes[0] != BACKGROUND))


def full_palette(palette: Palette) -> NDArray[np.uint8]:
    """Colors for 256 indexes or more, uint8 ``[N, 3]``: the given ones, then those by VOC's rule, so void is
    (224, 224, 192).
    """
    colors = voc_colors(max(256, len(palette)))
    colors[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)
    return colors
