"""How far a difference between two models could be chance: the paired bootstrap over images.

Images are drawn with replacement, as many as there are, and both models are measured on the same draw; what
lies between the percentiles of the differences over many draws is the interval (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13). Any figure that an evaluator reports has one, be it a mean
over images or, as IoU and AP, none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.base import Evaluator
from toolkit.evaluation.report import Report

LEVEL = 0.95
"""Part of the draws that lies within an interval."""


RESAMPLES = 1000
"""Draws of images that an interval is made from, unless an evaluator takes long over a report."""


class Resampling(ABC):
    """What an evaluator adds that is resampled in a way of its own.

    Attributes:
        resamples: how many draws of images suit it; fewer where a report takes long.
    """

    resamples: int = RESAMPLES

    @abstractmethod
    def merge_repeated(self, states: Sequence[Any], times: Sequence[int]) -> None:
        """Replace all that was taken in by the sum of these states, each of them so many times."""


def resamples_of(evaluator: Evaluator) -> int:
    """How many draws of images suit an evaluator."""
    return evaluator.resamples if isinstance(evaluator, Resampling) else RESAMPLES


def merge_repeated(evaluator: Evaluator, states: Sequence[Any], times: Sequence[int]) -> None:
    """Replace all that an evaluator took in by the sum of states, each so many times: a bootstrap sample."""
    if isinstance(evaluator, Resampling):
        evaluator.merge_repeated(states, times)
    else:
        evaluator.merge([state for state, count in zip(states, times, strict=True) for _ in range(count)])


@dataclass(frozen=True)
class Difference:
    """How much larger a figure of one run is than that of another, with an interval.

    Attributes:
        value: the difference on all images.
        low, high: the interval; NaN where no draw defined the figure for both.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def draws(images: int, count: int, seed: int) -> NDArray[np.int64]:
    """How often each image is in each draw, int64 ``[count, images]``; every row sums up to ``images``."""
    counts: NDArray[np.int64] = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=count
    )
    return counts


def resampled_metrics(
    evaluator: Evaluator,
    states: Sequence[Any],
    counts: NDArray[np.int64],
    report: Callable[[], Report] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """The metrics of each draw by name, float64 ``[draws]``.

    Args:
        evaluator: is left with the last draw.
        states: of the evaluator, one per image.
        counts: of ``draws``.
        report: makes the report, in place of the evaluator's own.
    """
    reports: list[Mapping[str, float]] = []
    for times in counts.tolist():
        merge_repeated(evaluator, states, times)
        reports.append((report or evaluator.report)().metrics)
    return (
        {name: np.array([report.get(name, np.nan) for report in reports]) for name in reports[0]}
        if reports
        else {}
    )


def difference(
    value: float, first: float, values: NDArray[np.float64], first_values: NDArray[np.float64]
) -> Difference:
    """The difference of two figures, with the interval from their values in the same draws."""
    spread = values - first_values
    spread = spread[~np.isnan(spread)]
    if not len(spread):
        return Difference(value - first, float("nan"), float("nan"))
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(value - first, float(low), float(high))
