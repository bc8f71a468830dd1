"""What the windows of an image show of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toolkit.models.window_grid import Window
from toolkit.types.pixel_runs import Rectangle, Runs, all_bounds, areas_of

MARGIN = 2
"""An object that ends within this many pixels of a seam may be cut off there: networks are not exact to the
pixel."""


@dataclass(frozen=True, eq=False)
class Part:
    """What a window shows of an object.

    Attributes:
        window: number of the window.
        label: index of its class.
        runs: its pixels, in the image; those of its box if there are only boxes.
        area: the number of these.
        bounds: the rectangle around them.
        depth: distance of the bounds from the nearest seam of the window, in pixels.
    """

    window: int
    label: int
    runs: Runs
    area: int
    bounds: Rectangle
    depth: int

    @property
    def is_whole(self) -> bool:
        """Whether no seam cuts it."""
        return self.depth > MARGIN


def parts_of(number: int, window: Window, labels: Sequence[int], runs: Sequence[Runs]) -> list[Part]:
    """The parts of a window.

    Args:
        number: of the window.
        window: its place.
        labels: indices of the classes.
        runs: the pixels of each part, in the image.
    """
    bounds, seams = all_bounds(runs), np.array(window.seams())
    depths = np.concatenate([bounds[:, :2] - seams[:2], seams[2:] - bounds[:, 2:]], axis=1).min(axis=1)
    rectangles = [Rectangle(*each) for each in bounds.tolist()]
    values = zip(labels, runs, areas_of(runs).tolist(), rectangles, depths.tolist(), strict=True)
    return [Part(number, *each) for each in values]


@dataclass(frozen=True, eq=False)
class Shown:
    """What a window shows.

    Attributes:
        window: the window.
        parts: its objects.
    """

    window: Window
    parts: Sequence[Part]

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """The rectangles around the objects, ``[N, 4]``."""
        return np.array([part.bounds for part in self.parts], np.int64).reshape(-1, 4)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The indices of their classes, ``[N]``."""
        return np.array([part.label for part in self.parts], np.int64)
