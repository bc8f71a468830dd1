"""Curves: round ticks, where lines are, and what is left out."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.errors import UsageError
from toolkit.visualization.curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    Panel,
    draw_curves,
    ticks,
)
from toolkit.visualization.palettes import default_palette

FIRST = default_palette(1, first=1)[0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 7.0, [-2, 0, 2, 4, 6]),
        (1e-5, 3e-5, [1e-5, 1.5e-5, 2e-5, 2.5e-5, 3e-5]),
        (100.0, 1200.0, [200, 400, 600, 800, 1000, 1200]),
        (5.0, 5.0, [5.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def inside(picture: np.ndarray) -> np.ndarray:
    """Where the first curve is, within the axes: ``[H, W]``."""
    area = picture[TOP : HEIGHT - BOTTOM, LEFT : WIDTH - RIGHT].astype(int)
    return np.asarray(np.abs(area - np.array(FIRST)).sum(axis=2) < 60)


def test_a_rising_curve_goes_from_the_lower_left_to_the_upper_right(tmp_path: Path) -> None:
    picture = draw_curves([Panel("loss", {"training": ([0, 50, 100], [0.0, 0.5, 1.0])})], tmp_path / "c.png")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    y, x = np.nonzero(inside(picture))
    assert np.corrcoef(x, y)[0, 1] < -0.99
    assert x.max() - x.min() > 0.95 * (WIDTH - LEFT - RIGHT)
    written = cv2.cvtColor(cv2.imread(str(tmp_path / "c.png")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(written, picture)


@pytest.mark.parametrize(
    "curve",
    [([1], [2.0]), ([1, 2, 3], [0.0, 0.0, 0.0]), ([1, 2], [math.nan, -4.0]), ([0, 1], [1e-30, 1e30])],
    ids=["a single point", "a constant", "partly undefined", "a wide range"],
)
def test_odd_curves_are_drawn(curve: Curve, tmp_path: Path) -> None:
    assert inside(draw_curves([Panel("odd", {"curve": curve})], tmp_path / "c.png")).any()


def test_what_has_no_finite_value_is_left_out(tmp_path: Path) -> None:
    gone: Curve = ([1, 2], [math.nan, math.inf])
    good: Curve = ([1, 2], [3.0, 4.0])
    picture = draw_curves(
        [Panel("none", {"a": gone}), Panel("some", {"a": gone, "b": good}), Panel("empty", {})],
        tmp_path / "c.png",
    )
    assert picture.shape[0] == HEIGHT
    with pytest.raises(UsageError, match="no finite value"):
        draw_curves([Panel("none", {"a": gone})], tmp_path / "d.png")
    assert not (tmp_path / "d.png").exists()


def test_a_long_curve_is_averaged_so_that_noise_does_not_fill_the_picture(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    steps = np.arange(100 * POINTS, dtype=float)
    values = steps / steps.max() + generator.normal(0, 1, len(steps))
    noisy = draw_curves([Panel("loss", {"a": (steps, values)})], tmp_path / "c.png")
    few = draw_curves([Panel("loss", {"a": (steps[::100], values[::100])})], tmp_path / "d.png")
    assert inside(noisy).sum() < inside(few).sum()
