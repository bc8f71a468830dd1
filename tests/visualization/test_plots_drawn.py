"""Plots: round ticks, where lines are, gaps, and names."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.errors import UsageError
from toolkit.visualization.palettes import default_palette
from toolkit.visualization.plots import LISTED, WIDE, Layout, Line, Plot, draw_plots, span_of, ticks

RED, GREEN = default_palette(2, first=1)


def line(y: list[float], color: tuple[int, int, int] = RED, **fields: str) -> Line:
    return Line("a", np.arange(len(y), dtype=float), np.array(y), color, **fields)  # type: ignore[arg-type]


def plot(*lines: Line, values: str = "") -> Plot:
    return Plot("title", lines, (0, 4), (0, 1), "x", "y", values)


def inside(picture: np.ndarray, layout: Layout, color: tuple[int, int, int] = RED) -> np.ndarray:
    """Where a color is, within the axes: ``[H, W]``."""
    area = picture[layout.top : layout.top + layout.height + 1, layout.left : layout.left + layout.width + 1]
    return np.asarray(np.abs(area.astype(int) - np.array(color)).sum(axis=2) < 60)


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


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([1.0, 3.0, math.nan, 2.0, math.inf], (1, 3)),
        ([4.0], (2, 6)),
        ([-4.0, -4.0], (-6, -2)),
        ([0.0], (-0.5, 0.5)),
    ],
)
def test_spans(values: list[float], span: tuple[float, float]) -> None:
    assert span_of(np.array(values)) == span


@pytest.mark.parametrize(("layout", "values"), [(WIDE, ""), (LISTED, "mean")])
def test_a_line_lies_where_its_values_say(layout: Layout, values: str, tmp_path: Path) -> None:
    picture = draw_plots([plot(line([0, 0.25, 0.5, 0.75, 1]), values=values)], tmp_path / "a.png")
    assert picture.shape == (*layout.size, 3)
    y, x = np.nonzero(inside(picture, layout))
    expected = layout.height - x * layout.height / layout.width
    assert np.abs(y - expected).max() <= 2
    assert x.min() == 0
    assert x.max() == layout.width
    written = cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(written, picture)


@pytest.mark.parametrize("layout", [WIDE, LISTED])
def test_a_gap_is_left_open_and_a_point_between_gaps_is_a_dot(layout: Layout, tmp_path: Path) -> None:
    values = "mean" if layout is LISTED else ""
    gaps = line([0.5, 0.5, math.nan, 0.5, math.nan])
    picture = draw_plots([plot(gaps, values=values)], tmp_path / "a.png")
    columns = inside(picture, layout).any(axis=0)
    step = layout.width // 4
    assert columns[1 : step - 1].all()
    assert not columns[step + 6 : 3 * step - 6].any()
    assert columns[3 * step]
    assert not columns[3 * step + 6 :].any()


def test_plots_stand_below_each_other(tmp_path: Path) -> None:
    one, two = plot(line([0, 1])), plot(line([1, 0], GREEN))
    both = draw_plots([one, two], tmp_path / "a.png")
    assert np.array_equal(both[: WIDE.size[0]], draw_plots([one], tmp_path / "a.png"))
    assert np.array_equal(both[WIDE.size[0] :], draw_plots([two], tmp_path / "a.png"))


def test_a_list_shows_the_color_and_the_value_of_each_line(tmp_path: Path) -> None:
    lines = [line([0, 1], RED, value="0.5"), line([0, 0], GREEN, value="0.0")]
    picture = draw_plots([plot(*lines, values="mean")], tmp_path / "a.png")
    side = picture[:, LISTED.left + LISTED.width + 5 :]
    for color in (RED, GREEN):
        assert (side == color).all(axis=2).any()
    bare = draw_plots([plot(line([0, 1], RED), values="mean")], tmp_path / "a.png")
    assert not (bare[:, LISTED.left + LISTED.width + 5 :] == GREEN).all(axis=2).any()


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finite value"):
        draw_plots([], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
