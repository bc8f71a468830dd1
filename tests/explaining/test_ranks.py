"""Ranks and their correlation, compared with SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.explaining.ranks import correlation, rank_correlation, ranks


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_equal_to_scipy(values: list[int], random: object) -> None:
    first = np.array(values, float)
    second = np.array(random.sample(values, len(values)), float)  # type: ignore[attr-defined]
    assert ranks(first).tolist() == (stats.rankdata(first) - 1).tolist()
    if len({*values}) > 1:
        assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
        assert correlation(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])


def test_a_constant_array_has_no_ranking() -> None:
    assert math.isnan(rank_correlation(np.ones((3, 3)), np.arange(9.0).reshape(3, 3)))


def test_only_the_order_counts() -> None:
    values = np.random.default_rng(0).random((5, 7))
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
