"""The outlines of masks as polygons that reproduce exactly the same pixels when filled by COCO's rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.formats.regions import Polygon


def rings(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The closed contours along pixel edges that bound a mask, both outer ones and those of holes.

    A corner of the boundary is a grid point around which one or three of four pixels are set, or two that
    touch diagonally, which makes two corners. Along each row and column of the grid, consecutive corners pair
    up, first with second, third with fourth, to form the sides (O'Rourke, *Uniqueness of orthogonal
    connect-the-dots*, 1988). Contours go around pixels that touch diagonally one by one, so each bounds
    pixels that are connected by their sides.

    Args:
        mask: bool ``[H, W]``.

    Returns:
        The corners of each contour, int64 ``[K, 2]`` as x, y; horizontal and vertical sides alternate.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    around = padded[:-1, :-1] + padded[1:, 1:], padded[:-1, 1:] + padded[1:, :-1]  # the two diagonals
    single = (around[0] + around[1]) % 2 == 1
    double = np.abs(around[0] - around[1]) == 2
    points = np.concatenate([np.argwhere(single), np.repeat(np.argwhere(double), 2, axis=0)])[:, ::-1]
    # Of two corners at one point, the first has the side to the left; it also has the one above if the pixel
    # between these two is set, and the one below if not.
    second = np.concatenate([np.zeros(single.sum(), int), np.tile([0, 1], double.sum())])
    is_upper = np.concatenate([np.ones(single.sum(), int), np.repeat(padded[:-1, :-1][double], 2)])
    below = np.where(is_upper, second, 1 - second)
    across = _partners(np.lexsort((second, points[:, 0], points[:, 1])))
    down = _partners(np.lexsort((below, points[:, 1], points[:, 0])))
    found, free = [], np.ones(len(points), bool)
    for start in range(len(points)):
        if not free[start]:
            continue
        line, corner = [], start
        while free[corner]:
            other = across[corner]
            free[corner] = free[other] = False
            line += [corner, other]
            corner = down[other]
        found.append(points[line])
    return found


def _partners(order: NDArray[np.intp]) -> list[int]:
    """The partner of each corner, given the corners in the order along the grid lines."""
    partners = np.empty_like(order)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    found: list[int] = partners.tolist()
    return found


def one_polygon(mask: NDArray[np.bool_]) -> Polygon:
    """One polygon that covers the pixels of a mask, with its parts and holes.

    All contours are joined to the first by bridges that are traversed in both directions; filled by COCO's
    rule (or any other even-odd rule), the bridges cover no pixels.

    Args:
        mask: bool ``[H, W]`` with at least one pixel set.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corner = np.array([columns[0], rows[0]])
    first, *others = rings(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    points: list[NDArray[Any]] = [first]
    if others:
        points.append(first[:1])
    for line in others:
        points += [line, line[:1], first[:1]]
    return tuple(map(float, (np.concatenate(points) + corner).ravel()))
