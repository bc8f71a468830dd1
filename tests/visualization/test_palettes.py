"""Palettes: the colors that PASCAL VOC publishes, all distinct, and where the given ones stand."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.visualization.palettes import default_palette, full_palette, voc_colors

PUBLISHED = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    3: (128, 128, 0),
    4: (0, 0, 128),
    8: (64, 0, 0),
    15: (192, 128, 128),
    20: (0, 64, 128),
    255: (224, 224, 192),
}
"""From the table of VOC2012's devkit: background, aeroplane, …, person, tvmonitor, and the border."""


def devkit(index: int) -> tuple[int, int, int]:
    """The color by the loop of VOCdevkit's ``VOClabelcolormap.m``."""
    r = g = b = 0
    for j in range(8):
        r |= (index >> 0 & 1) << (7 - j)
        g |= (index >> 1 & 1) << (7 - j)
        b |= (index >> 2 & 1) << (7 - j)
        index >>= 3
    return r, g, b


def test_the_colors_are_those_of_the_devkit() -> None:
    colors = voc_colors(256)
    assert (colors.dtype, colors.shape) == (np.uint8, (256, 3))
    assert {index: tuple(colors[index].tolist()) for index in PUBLISHED} == PUBLISHED
    assert [tuple(color) for color in colors.tolist()] == [devkit(index) for index in range(256)]


@pytest.mark.parametrize("first", [0, 1, 5])
def test_default_colors_are_distinct_whatever_they_start_with(first: int) -> None:
    palette = default_palette(300, first=first)
    assert len(set(palette)) == 300
    assert palette == tuple(devkit(index) for index in range(first, first + 300))
    assert ((0, 0, 0) in palette) == (first == 0)
    assert all(type(channel) is int for channel in palette[0]), "as JSON can hold them"


def test_no_classes_have_no_colors() -> None:
    assert default_palette(0) == default_palette(0, first=1) == ()
    assert voc_colors(0).shape == (0, 3)


@pytest.mark.parametrize("count", [0, 3, 255, 256, 300])
def test_given_colors_come_first(count: int) -> None:
    given = [(index % 256, 7, index // 256) for index in range(count)]
    full = full_palette(given)
    assert (full.dtype, full.shape) == (np.uint8, (max(count, 256), 3))
    assert [tuple(color) for color in full[:count].tolist()] == given
    assert np.array_equal(full[count:], voc_colors(256)[count:])
