"""Intervals of a few numbers and of proportions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Z = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Interval:
    """A mean with the 95 % interval around it.

    Attributes:
        mean, low, high: in the unit of the numbers; NaN if there are none.
    """

    mean: float
    low: float
    high: float


def of_another(values: Sequence[float]) -> Interval:
    """The interval in which one more number of the same kind lies with a probability of 95 %, if they are
    normally distributed: mean ± t · s · √(1 + 1/n). Infinite for fewer than 2 numbers.
    """
    if not values:
        return Interval(math.nan, math.nan, math.nan)
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    reach = student_t(len(values) - 1) * statistics.stdev(values) * math.sqrt(1 + 1 / len(values))
    return Interval(mean, mean - reach, mean + reach)


def of_proportion(hits: int, count: int) -> Interval:
    """A proportion with Wilson's interval (1927)."""
    if not count:
        return Interval(math.nan, math.nan, math.nan)
    share, square = hits / count, Z * Z
    center = (share + square / (2 * count)) / (1 + square / count)
    reach = math.sqrt(share * (1 - share) / count + square / (4 * count**2)) * Z / (1 + square / count)
    return Interval(share, max(0.0, center - reach), min(1.0, center + reach))


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t distribution, to 0.1 %: exact for 1 and 2 degrees of freedom, a
    table for 3 and 4, else the expansion of Abramowitz and Stegun, 26.7.5.
    """
    few = {1: math.tan(0.475 * math.pi), 2: 0.95 * math.sqrt(2 / (1 - 0.95**2)), 3: 3.1824463, 4: 2.7764451}
    if degrees in few:
        return few[degrees]
    n, z = degrees, Z
    terms = (
        z,
        (z**3 + z) / (4 * n),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4),
    )
    return math.fsum(terms)
