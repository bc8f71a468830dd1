"""Finds near-duplicates among thousands of images, such as one photo in two sizes or saved twice.

Images whose perceptual hashes agree in a block of 16 bits are candidates: two hashes of 64 bits are stored in
eight tables of 16 bits. Each image is compared with a bounded number of others in each table, so the time
grows with the number of images and not with its square. Candidates count when their small gray versions
agree. Copies of a part and mirror images are not found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.data.image_looks import SIDE, Look

MOST_COMPARED = 32
"""Number of images in the same table entry with which each image is compared: those before it in the order of
the whole hash.
"""

BLOCK = 4
"""Height and width of the blocks of pixels whose means are compared first, as there are fewer of them."""
ROUNDING = 0.001
"""Far more than the float32 of the means can be wrong."""

LEAST_CORRELATION = 0.98
MOST_APART = 0.6
"""Largest difference, in standard deviations, between the pixels of two small versions, except for one
percent of the pixels.
"""

SAME_SHAPE = 0.05
"""Largest difference between the logarithms of two aspect ratios."""


def look_alikes(looks: Sequence[Look | None]) -> list[tuple[int, int]]:
    """Pairs of images that are nearly the same: each image that nearly equals an earlier one, with the
    earliest.

    Args:
        looks: the looks of the images; those that are None or flat match no other.

    Returns:
        Pairs of positions, the earlier image first, in the order of the later image.
    """
    pairs = [(i, look) for i, look in enumerate(looks) if look is not None and not look.is_flat]
    if len(pairs) < 2:
        return []
    used, known = zip(*pairs, strict=True)
    grays = np.stack([look.gray.ravel() for look in known])
    shapes = np.array([look.features[4] for look in known])
    hashes = np.array([look.hashes for look in known], np.uint64).T
    tables = [_neighbors(row, np.uint64(shift)) for row in hashes for shift in (0, 16, 32, 48)]
    # most pairs are in several tables
    lower, higher = np.concatenate(tables, 1)
    one, other = np.divmod(np.unique(lower * len(known) + higher), len(known))
    possible = _may_agree(grays, shapes, one, other)
    one, other = one[possible], other[possible]
    same = _agree(grays, one, other)
    groups = _Groups(len(known))
    for a, b in zip(one[same].tolist(), other[same].tolist(), strict=True):
        groups.join(a, b)
    return [(used[groups.first(i)], used[i]) for i in range(len(used)) if groups.first(i) != i]


def _neighbors(hashes: NDArray[np.uint64], shift: np.uint64) -> NDArray[np.int64]:
    """Pairs of positions to compare, int64 ``[2, N]``, the lower first: images that have 16 bits of their
    hashes in common, and are close in the order of the whole hashes.
    """
    bits = (hashes >> shift) & np.uint64(0xFFFF)
    order = np.lexsort((hashes, bits))
    pairs = [np.zeros((2, 0), np.int64)]
    for step in range(1, min(MOST_COMPARED, len(order) - 1) + 1):
        one, other = order[:-step], order[step:]
        same = bits[one] == bits[other]
        if not same.any():
            break
        pairs.append(np.sort(np.stack([one[same], other[same]]), axis=0))
    return np.concatenate(pairs, 1)


def _may_agree(
    grays: NDArray[np.uint8],
    shapes: NDArray[np.float32],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    chunk: int = 4096,
) -> NDArray[np.bool_]:
    """Which pairs have the same shape and nearly the same means of ``BLOCK`` x ``BLOCK`` pixels. All that
    agree are among them: the mean square difference of means is at most that of the pixels, which is
    2 - 2 * ``LEAST_CORRELATION``.
    """
    cells = SIDE // BLOCK
    means = np.concatenate(
        [
            _standardized(grays[start : start + chunk])
            .reshape(-1, cells, BLOCK, cells, BLOCK)
            .mean((2, 4))
            .reshape(-1, cells * cells)
            for start in range(0, len(grays), chunk)
        ]
    )
    possible: NDArray[np.bool_] = np.abs(shapes[one] - shapes[other]) <= SAME_SHAPE
    most = 2 - 2 * LEAST_CORRELATION + ROUNDING
    for start in range(0, len(one), chunk):
        part = slice(start, start + chunk)
        possible[part] &= np.square(means[one[part]] - means[other[part]]).mean(1) <= most
    return possible


def _agree(
    grays: NDArray[np.uint8], one: NDArray[np.int64], other: NDArray[np.int64], chunk: int = 4096
) -> NDArray[np.bool_]:
    """Whether the images of each pair are nearly the same."""
    same = np.zeros(len(one), bool)
    allowed = round(0.01 * grays.shape[1])
    for start in range(0, len(one), chunk):
        a, b = one[start : start + chunk], other[start : start + chunk]
        first, second = _standardized(grays[a]), _standardized(grays[b])
        correlation = (first * second).mean(1)
        apart = (np.abs(first - second) > MOST_APART).sum(1)
        same[start : start + chunk] = (correlation >= LEAST_CORRELATION) & (apart <= allowed)
    return same


def _standardized(grays: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each row with mean 0 and standard deviation 1."""
    rows = grays.astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    rows /= rows.std(1, keepdims=True)
    return rows


class _Groups:
    """Sets of numbers that are joined pair by pair; each is known by its smallest member."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def first(self, member: int) -> int:
        """The smallest member of the set that a number is in."""
        while self._parent[member] != member:
            self._parent[member] = self._parent[self._parent[member]]
            member = self._parent[member]
        return member

    def join(self, one: int, other: int) -> None:
        """Merge two sets."""
        low, high = sorted((self.first(one), self.first(other)))
        self._parent[high] = low
