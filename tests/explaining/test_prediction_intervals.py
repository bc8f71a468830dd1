"""Intervals, compared with SciPy's."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from toolkit.explaining.prediction_intervals import of_another, of_proportion, student_t


def test_quantiles_equal_scipy() -> None:
    for degrees in (*range(1, 40), 100, 1000):
        assert student_t(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-3)


def test_another_number_lies_in_the_interval_as_often_as_it_says() -> None:
    draws = stats.norm.rvs(3, 2, size=(2000, 9), random_state=0)
    intervals = [of_another(row[:8].tolist()) for row in draws]
    inside = sum(each.low <= row[8] <= each.high for each, row in zip(intervals, draws, strict=True))
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)


def test_few_numbers_say_little() -> None:
    assert math.isnan(of_another([]).mean)
    assert of_another([2.0]).mean == 2
    assert of_another([2.0]).low == -math.inf
    assert of_another([2.0, 2.0]).high == 2


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (5, 5), (19, 20), (1, 1000)])
def test_proportions_equal_scipy(hits: int, count: int) -> None:
    found = of_proportion(hits, count)
    expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.mean == hits / count


def test_no_game_has_no_proportion() -> None:
    assert math.isnan(of_proportion(0, 0).mean)
