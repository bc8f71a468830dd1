"""Confusion matrices and curves per class as pictures: what they show, and when there is nothing to show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.errors import UsageError
from toolkit.visualization.class_plots import (
    FULL,
    MOST_CLASSES,
    MOST_LINES,
    NO_DATA,
    _legend,
    _reduced,
    class_plot,
    draw_confusion,
)
from toolkit.visualization.plots import Plot, draw_plots


def count_of(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((picture == color).all(axis=2).sum())


def test_a_perfect_matrix_has_full_cells_on_the_diagonal_alone(tmp_path: Path) -> None:
    names = ["sky", "cow", "a class of a very long name that is shortened", "grass"]
    picture = draw_confusion(np.diag([5, 1, 3, 900]), names, names, tmp_path / "c.png", title="confusion")
    assert 4 * 1200 < count_of(picture, FULL) < 4 * 48 * 48
    assert np.array_equal(cv2.imread(str(tmp_path / "c.png"))[..., ::-1], picture)
    assert (tmp_path / "c.png").stat().st_size < 50_000


def test_a_class_that_is_only_predicted_has_a_gray_row(tmp_path: Path) -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [0, 0, 0]])
    names = ["sky", "cow", "no class"]
    picture = draw_confusion(counts, names, names, tmp_path / "c.png")
    kept, rows, columns = _reduced(counts, names, names)
    assert (rows, columns) == (["sky", "cow"], ["sky", "cow"]), "what never occurs is left out"
    assert kept.tolist() == [[8, 2], [0, 0]]
    assert count_of(picture, NO_DATA) > 1000


def test_many_classes_are_added_up_and_no_count_is_lost() -> None:
    rng, count = np.random.default_rng(0), 90
    counts = rng.integers(0, 100, (count, count)) + np.diag(np.arange(count) * 1000)
    names = [f"class {i}" for i in range(count)]
    kept, rows, columns = _reduced(counts, names, names)
    assert kept.sum() == counts.sum()
    assert rows == columns
    assert rows == [*names[-MOST_CLASSES:], f"{count - MOST_CLASSES} other classes"], "the most frequent"
    one_more = MOST_CLASSES + 1
    assert len(_reduced(counts[:one_more, :one_more], names[:one_more], names[:one_more])[1]) == one_more


@pytest.mark.parametrize("counts", [np.zeros((2, 2), np.int64), np.ones((2, 3), np.int64)])
def test_nothing_to_show_is_an_error(counts: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs counts and their names"):
        draw_confusion(counts, ["a", "b"], ["a", "b"], tmp_path / "c.png")


def lines(values: dict[str, list[float]]) -> Plot:
    x = np.linspace(0, 1, len(next(iter(values.values())))).tolist()
    plot = class_plot("PR50, step 9", "recall", "precision", x, values)
    assert plot is not None
    return plot


def test_each_class_has_a_line_of_its_color(tmp_path: Path) -> None:
    values = {"disc": [1.0, 0.9, 0.5], "box": [0.6, 0.4, 0.1], "never": [np.nan] * 3}
    picture = draw_plots([lines(values)], tmp_path / "l.png")
    assert [name for name, *_ in _legend({k: np.array(v) for k, v in values.items() if k != "never"})] == [
        "disc",
        "box",
        "mean of 2 classes",
    ]
    for color in ((128, 0, 0), (0, 128, 0)):
        assert count_of(picture, color) > 200
    assert (tmp_path / "l.png").stat().st_size < 50_000
    two = draw_plots([lines(values), lines(values)], tmp_path / "l.png")
    assert two.shape[0] == 2 * picture.shape[0]


def test_of_many_classes_the_best_and_the_worst_are_shown_and_the_mean_is_of_all(tmp_path: Path) -> None:
    values = {f"class {i}": [i / 50, i / 50] for i in range(50)}
    legend = _legend({name: np.array(each) for name, each in values.items()})
    names = [name for name, *_ in legend]
    half = MOST_LINES // 2
    assert names[:half] == [f"class {i}" for i in range(49, 49 - half, -1)]
    assert names[half:-1] == [f"class {i}" for i in range(half - 1, -1, -1)]
    assert names[-1] == "mean of 50 classes"
    assert legend[-1][1] == pytest.approx([0.49, 0.49])
    draw_plots([lines(values)], tmp_path / "l.png")


def test_values_outside_the_unit_interval_and_gaps_are_drawn(tmp_path: Path) -> None:
    draw_plots([lines({"a": [3.0, np.nan, 7.0, np.inf, 5.0]})], tmp_path / "l.png")
    draw_plots([lines({"a": [4.0]})], tmp_path / "one.png")
    assert class_plot("PR50", "recall", "precision", [0, 1], {"a": [np.nan, np.inf]}) is None
    assert class_plot("PR50", "recall", "precision", [], {}) is None


def test_the_axes_show_shares_whole_and_other_values_as_far_as_they_go() -> None:
    assert lines({"a": [0.2, 0.4]}).y == (0, 1)
    assert lines({"a": [0.2, np.nan, 4.0]}).y == (0.2, 4)
    assert [line.value for line in lines({"a": [0.25, np.nan], "b": [0.5, 0.0]}).lines] == [
        "0.250",
        "0.250",
        "0.188",
    ]
