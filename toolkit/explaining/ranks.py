"""How well two maps, or their rankings of the pixels, agree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rank of each number, from 0 for the smallest; equal numbers get the mean of their ranks.

    Args:
        values: of any shape, flattened.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[place.ravel()], np.float64)


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two arrays of one shape, -1 to 1; NaN if one of them is constant."""
    return correlation(ranks(a), ranks(b))


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's correlation of two arrays of one shape, -1 to 1; NaN if one of them is constant."""
    x, y = (each.astype(np.float64).ravel() for each in (a, b))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))
