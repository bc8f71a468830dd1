"""One colour a class, computed by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Palette: TypeAlias = Sequence[tuple[int, int, int]]
"""RGB colours, one a class."""


def voc_colours(n: int) -> NDArray[np.uint8]:
    """The first ``n`` colours of the PASCAL VOC devkit, uint8 ``[n, 3]``, black first.

    The bits of the index are dealt out to red, green and blue in turn, filling each from its top bit down.
    """
    index = np.arange(n)[:, None]
    channel = np.arange(3)
    colours = np.zeros((n, 3), np.int64)
    for bit in range(8):
        colours |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def default_palette(n: int, *, first: int = 0) -> tuple[tuple[int, int, int], ...]:
    """``n`` distinct RGB colours by PASCAL VOC's rule.

    Args:
        n: how many classes.
        first: where to start: 0 gives class 0 black, as suits a background; 1 skips black, for classes that are all objects.
    """
    return tuple((int(r), int(g), int(b)) for r, g, b in voc_colours(first + n)[first:])


def full_palette(palette: Palette) -> NDArray[np.uint8]:
    """Colours for 256 indexes or more, uint8 ``[N, 3]``: the given ones, then those of VOC's rule, so void is (224, 224, 192)."""
    colours = voc_colours(max(256, len(palette)))
    colours[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)
    return colours
