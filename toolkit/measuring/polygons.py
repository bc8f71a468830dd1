"""Masks as polygons along the edges of pixels, with holes and parts; filled, they give the same pixels."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.formats.outlines import rings

Ring: TypeAlias = "list[tuple[int, int]]"
"""The corners of a closed contour, each once, as x and y."""


def polygons_of(mask: NDArray[np.uint8]) -> list[list[Ring]]:
    """The parts of a mask, each as its outer contour and those of its holes.

    Contours do not cross or touch themselves, and the inside of each part is connected, so they are valid by
    the rules of OGC's Simple Features: pixels that meet only at a corner belong to different parts, and a
    hole may touch its outer contour at a corner.

    Args:
        mask: uint8 ``[H, W]`` of 0 and 1.
    """
    _, labels = cv2.connectedComponents(mask, connectivity=4)
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for contour in rings(mask.astype(bool)):
        for ring in _simple(contour):
            # inside the ring lies the pixel to the right of and below its first corner from the top
            y, x = min((y, x) for x, y in ring)
            if mask[y, x]:
                outer[int(labels[y, x])] = ring
            else:
                holes[int(labels[y - 1, x])].append(ring)
    return [[ring, *holes[label]] for label, ring in outer.items()]


def _simple(contour: NDArray[np.int64]) -> list[Ring]:
    """A contour cut into rings that pass each corner once."""
    found: list[Ring] = []
    line: Ring = []
    place: dict[tuple[int, int], int] = {}
    for x, y in contour.tolist():
        if (x, y) in place:
            start = place[x, y]
            found.append(line[start:])
            for corner in line[start + 1 :]:
                del place[corner]
            del line[start + 1 :]
        else:
            place[x, y] = len(line)
            line.append((x, y))
    return [*found, line]
