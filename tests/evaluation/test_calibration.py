"""Bins of scores."""

from __future__ import annotations

import math

import numpy as np

from toolkit.evaluation.calibration import Bins


def test_scores_at_the_edges_of_bins() -> None:
    bins = Bins.of(np.array([0.0, 0.1, 0.5, 0.999, 1.0]), np.array([True, False, True, True, True]), 10)
    assert bins.counts.tolist() == [1, 1, 0, 0, 0, 1, 0, 0, 0, 2]
    assert bins.correct.tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 2]


def test_parts_add_up() -> None:
    rng = np.random.default_rng(0)
    scores, correct = rng.random(500), rng.random(500) < 0.3
    whole = Bins.of(scores, correct, 10)
    parts = Bins.of(scores[:90], correct[:90], 10) + Bins.of(scores[90:], correct[90:], 10) + Bins.empty(10)
    assert np.allclose(parts.scores, whole.scores)
    assert (parts.counts == whole.counts).all()
    assert np.isclose(parts.error, whole.error)


def test_an_honest_score_has_no_error() -> None:
    assert Bins.of(np.full(10, 0.8), np.arange(10) < 8, 10).error < 1e-12
    assert np.isclose(Bins.of(np.full(10, 0.8), np.arange(10) < 3, 10).error, 0.5)


def test_without_predictions() -> None:
    assert math.isnan(Bins.empty(10).error)
    curve = Bins.empty(2).curve("pixels")
    assert curve.x == [0.25, 0.75]
    assert all(math.isnan(value) for line in curve.y.values() for value in line)


def test_a_reliability_diagram() -> None:
    curve = Bins.of(np.array([0.2, 0.4, 0.9]), np.array([False, True, True]), 2).curve("pixels")
    assert np.allclose(curve.y["mean score"], [0.3, 0.9])
    assert np.allclose(curve.y["fraction correct"], [0.5, 1.0])
    assert np.allclose(curve.y["fraction of all pixels"], [2 / 3, 1 / 3])
