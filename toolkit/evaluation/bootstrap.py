"""The paired bootstrap over images: how much of a difference between two models could be due to chance.

As many images as the dataset has are drawn with replacement, and both models are evaluated on the same
draw; the interval is given by percentiles of the differences over many draws (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13). Every reported metric has one, whether it is a mean over
images or, like IoU and AP, is not.
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
"""Fraction of the draws within an interval."""


RESAMPLES = 1000
"""Default number of draws per interval; fewer for evaluators whose report is slow."""


class Resampling(ABC):
    """Interface of evaluators with their own way of resampling.

    Attributes:
        resamples: suitable number of draws; fewer if a report is slow.
    """

    resamples: int = RESAMPLES

    @abstractmethod
    def merge_repeated(self, states: Sequence[Any], times: Sequence[int]) -> None:
        """Replace the state with the sum of these states, each counted the given number of times."""


def resamples_of(evaluator: Evaluator) -> int:
    """The number of draws suitable for an evaluator."""
    return evaluator.resamples if isinstance(evaluator, Resampling) else RESAMPLES


def merge_repeated(evaluator: Evaluator, states: Sequence[Any], times: Sequence[int]) -> None:
    """Replace an evaluator's state with the sum of states, each counted the given number of times: a
    bootstrap sample."""
    if isinstance(evaluator, Resampling):
        evaluator.merge_repeated(states, times)
    else:
        evaluator.merge([state for state, count in zip(states, times, strict=True) for _ in range(count)])


@dataclass(frozen=True)
class Difference:
    """The difference of a metric between two runs, with an interval.

    Attributes:
        value: the difference on all images.
        low, high: the interval; NaN if the metric was undefined in every draw.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def draws(images: int, count: int, seed: int) -> NDArray[np.int64]:
    """How often each image occurs in each draw, int64 ``[count, images]``; every row sums to ``images``."""
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
        evaluator: contains the last draw afterwards.
        states: states of the evaluator, one per image.
        counts: from ``draws``.
        report: builds the report instead of the evaluator's own method.
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
    """The difference of two metrics, with the interval from their values in the same draws."""
    spread = values - first_values
    spread = spread[~np.isnan(spread)]
    if not len(spread):
        return Difference(value - first, float("nan"), float("nan"))
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(value - first, float(low), float(high))
