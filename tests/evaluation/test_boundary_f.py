"""Boundary F against a plain loop over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolkit.evaluation.boundary_f import boundary_f

SIZE = (20, 26)


def naive_outline(labels: np.ndarray, known: np.ndarray, label: int) -> list[tuple[int, int]]:
    found = []
    for y, x in np.argwhere((labels == label) & known).tolist():
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]
            if inside and known[v, u] and labels[v, u] != label:
                found.append((y, x))
                break
    return found


def naive_f(truth: np.ndarray, guess: np.ndarray, label: int, known: np.ndarray, distance: float) -> float:
    true, found = naive_outline(truth, known, label), naive_outline(guess, known, label)
    if not true or not found:
        return 0.0 if true or found else math.nan
    shares = [
        np.mean([min(math.dist(a, b) for b in others) <= distance for a in points])
        for points, others in ((found, true), (true, found))
    ]
    return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0


def blobs(rng: np.random.Generator, classes: int) -> np.ndarray:
    labels = np.full(SIZE, 255 if rng.random() < 0.3 else 0, dtype=np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        y, x = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
        labels[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] = rng.integers(0, classes)
    return labels


def test_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    absent = between = 0
    for case in range(60):
        truth, guess = blobs(rng, 3), blobs(rng, 3)
        if case % 2:
            guess = np.roll(truth, int(rng.integers(-2, 3)), axis=1)
        unknown = (truth == 255) if case % 3 else None
        known = np.ones(SIZE, bool) if unknown is None else ~unknown
        tolerance = float(rng.choice([0.0075, 0.04, 0.1]))
        found = boundary_f(truth, guess, 3, unknown=unknown, tolerance=tolerance)
        distance = tolerance * math.hypot(*SIZE)
        expected = [naive_f(truth, guess, label, known, distance) for label in range(3)]
        assert found.tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True), case
        absent += np.isnan(found).sum()
        between += ((found > 0) & (found < 1)).sum()
    assert absent > 5
    assert between > 10


def test_equal_maps_agree_and_one_class_has_no_outline() -> None:
    labels = np.zeros(SIZE, dtype=np.uint8)
    assert np.isnan(boundary_f(labels, labels, 2)).all()
    labels[5:9, 5:9] = 1
    assert boundary_f(labels, labels, 2).tolist() == [1, 1]
    assert boundary_f(labels, np.zeros_like(labels), 2).tolist() == [0, 0]


def test_outlines_at_unknown_pixels_do_not_count() -> None:
    truth = np.zeros(SIZE, dtype=np.uint8)
    truth[:, 13:] = 1
    truth[:, 12:14] = 255
    assert np.isnan(boundary_f(truth, truth, 2, unknown=truth == 255)).all()
