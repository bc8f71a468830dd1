"""Intervals of figures and differences, from many draws, few, and too few."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.evaluation.report import Report
from toolkit.reporting.intervals import FEWEST_DRAWS, all_metrics, compared_with, interval_notes, intervals

RNG = np.random.default_rng(0)


def test_many_draws_give_percentiles() -> None:
    values = RNG.normal(0.5, 0.1, 1000)
    found = intervals({"iou": 0.6}, {"iou": values})
    assert found["iou"] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_few_draws_give_a_standard_deviation_around_the_value() -> None:
    values = RNG.normal(0.5, 0.1, 30)
    low, high = intervals({"iou": 0.6}, {"iou": values})["iou"]
    assert (low + high) / 2 == pytest.approx(0.6)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std(ddof=1))


def test_too_few_draws_give_none() -> None:
    values = {"a": np.zeros(FEWEST_DRAWS - 1), "b": np.full(100, np.nan)}
    assert intervals({"a": 0.0, "b": np.nan, "c": 1.0}, values) == {}


@pytest.mark.parametrize("draws", [200, 40, 5])
def test_differences_are_taken_in_the_same_draws(draws: int) -> None:
    reports = [[Report("iou", {"iou": value, "own": 1.0})] for value in (0.7, 0.5)]
    reports[1] = [Report("iou", {"iou": 0.5})]
    shared = RNG.normal(0.5, 0.2, draws)
    # the second model took fewer draws
    spreads = [{"iou": np.append(shared, 9.0) + 0.2}, {"iou": shared}]
    reference = compared_with("other", reports, spreads)
    assert reference.metrics == {"iou": 0.5}
    assert set(reference.differences) == {"iou"}
    found = reference.differences["iou"]
    assert found.value == pytest.approx(0.2)
    if draws < FEWEST_DRAWS:
        assert np.isnan([found.low, found.high]).all()
    else:
        assert [found.low, found.high] == pytest.approx([0.2, 0.2])


def test_notes_say_how_many_draws_there_were() -> None:
    assert interval_notes({"a": np.zeros(200)}, 100, "run", None) == [
        "Intervals are from 200 bootstrap draws of images."
    ]
    (note,) = interval_notes({"a": np.zeros(3)}, 5000, "run", None)
    assert note.startswith("There are no intervals from only 3 bootstrap draws of 5,000 images")
    assert "--resamples 200" in note
    assert "are few" in interval_notes({"a": np.zeros(200)}, 12, "run", None)[1]
    assert interval_notes({}, 1, "run", None) == []


def test_metrics_of_all_reports() -> None:
    assert all_metrics([Report("a", {"x": 1.0}), Report("b", {"y": 2.0})]) == {"x": 1.0, "y": 2.0}
