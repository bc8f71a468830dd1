"""Curves: where they are, and what is left out."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.visualization.curves import POINTS, Curve, Panel, curve_plots
from toolkit.visualization.palettes import default_palette
from toolkit.visualization.plots import WIDE, draw_plots

FIRST = default_palette(1, first=1)[0]


def drawn(*panels: Panel, path: Path) -> np.ndarray:
    return draw_plots(curve_plots(panels), path)


def inside(picture: np.ndarray) -> np.ndarray:
    """Where the first curve is, within the axes: ``[H, W]``."""
    area = picture[WIDE.top : -WIDE.bottom, WIDE.left : -WIDE.right].astype(int)
    return np.asarray(np.abs(area - np.array(FIRST)).sum(axis=2) < 60)


def test_a_rising_curve_goes_from_the_lower_left_to_the_upper_right(tmp_path: Path) -> None:
    picture = drawn(Panel("loss", {"training": ([0, 50, 100], [0.0, 0.5, 1.0])}), path=tmp_path / "c.png")
    assert picture.shape == (*WIDE.size, 3)
    y, x = np.nonzero(inside(picture))
    assert np.corrcoef(x, y)[0, 1] < -0.99
    assert x.max() - x.min() > 0.95 * WIDE.width
    written = cv2.cvtColor(cv2.imread(str(tmp_path / "c.png")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(written, picture)


@pytest.mark.parametrize(
    "curve",
    [([1], [2.0]), ([1, 2, 3], [0.0, 0.0, 0.0]), ([1, 2], [math.nan, -4.0]), ([0, 1], [1e-30, 1e30])],
    ids=["a single point", "a constant", "partly undefined", "a wide range"],
)
def test_odd_curves_are_drawn(curve: Curve, tmp_path: Path) -> None:
    assert inside(drawn(Panel("odd", {"curve": curve}), path=tmp_path / "c.png")).any()


def test_what_has_no_finite_value_is_left_out(tmp_path: Path) -> None:
    gone: Curve = ([1, 2], [math.nan, math.inf])
    good: Curve = ([1, 2], [3.0, 4.0])
    panels = [Panel("none", {"a": gone}), Panel("some", {"a": gone, "b": good}), Panel("empty", {})]
    (plot,) = curve_plots(panels)
    assert plot.title == "some"
    assert [(line.name, line.y.tolist()) for line in plot.lines] == [("b", [3, 4])]
    assert curve_plots(panels[::2]) == []


def test_a_long_curve_is_averaged_so_that_noise_does_not_fill_the_picture(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    steps = np.arange(100 * POINTS, dtype=float)
    values = steps / steps.max() + generator.normal(0, 1, len(steps))
    noisy = drawn(Panel("loss", {"a": (steps, values)}), path=tmp_path / "c.png")
    few = drawn(Panel("loss", {"a": (steps[::100], values[::100])}), path=tmp_path / "d.png")
    assert inside(noisy).sum() < inside(few).sum()


def test_all_panels_are_over_the_same_steps() -> None:
    plots = curve_plots([Panel("a", {"a": ([5, 9], [1.0, 2.0])}), Panel("b", {"b": ([0, 7], [1.0, 1.0])})])
    assert [plot.x for plot in plots] == [(0, 9), (0, 9)]
    assert plots[0].y == pytest.approx((0.95, 2.05))
