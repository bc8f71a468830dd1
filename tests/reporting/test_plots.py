"""Curves, matrices and slider as charts."""

from __future__ import annotations

import re

from toolkit.evaluation.report import Report
from toolkit.reporting.charts import MOST_LINES
from toolkit.reporting.image_values import distributions
from toolkit.reporting.parts import Figure
from toolkit.reporting.plots import (
    curve_figure,
    distribution_figures,
    matrix_figure,
    slider,
    training_figures,
)


def curve(lines: dict[str, list[float | None]]) -> dict[str, object]:
    return {"x_label": "recall", "y_label": "precision", "x": [0.0, 1.0], "y": lines}


def test_of_many_classes_those_with_the_most_objects_are_shown() -> None:
    names = [f"class{i}" for i in range(20)]
    counts = [{"name": name, "objects": i} for i, name in enumerate(names)]
    figure = curve_figure("c", "PR50", curve({name: [1.0, 0.0] for name in names}), counts)
    assert figure is not None
    assert re.findall(r">(class\d+)<", figure.svg) == [f"class{i}" for i in range(19, 11, -1)]
    assert "most objects, of 20" in figure.note


def test_of_many_other_lines_some_are_shown_evenly() -> None:
    lines = {f"IoU {i}": [1.0, 0.0] for i in range(10)}
    figure = curve_figure("c", "PR", curve(lines), [])
    assert figure is not None
    shown = re.findall(r">IoU (\d+)<", figure.svg)
    assert (len(shown), shown[0], shown[-1]) == (MOST_LINES, "0", "9")


def test_a_curve_without_values_is_none() -> None:
    assert curve_figure("c", "PR", curve({"a": [None, None]}), []) is None
    assert curve_figure("c", "PR", curve({}), []) is None


def test_what_is_confused_most_is_said() -> None:
    matrix = {
        "row_label": "true",
        "column_label": "seen",
        "rows": ["a", "b", "none"],
        "columns": ["a", "b", "none"],
    }
    figure, note = matrix_figure("m", "confusion", matrix | {"values": [[1, 3, 0], [1, 9, 0], [0, 0, 0]]})
    assert isinstance(figure, Figure)
    assert not isinstance(note, Figure)
    assert note.lines == ["Most often confused: 75% of a as b; 10% of b as a."]
    assert len(matrix_figure("m", "confusion", matrix | {"values": [[1, 0, 0], [0, 9, 0], [0, 0, 0]]})) == 1
    other = {
        "row_label": "class",
        "column_label": "kind",
        "rows": ["a"],
        "columns": ["x", "y"],
        "values": [[1, 2]],
    }
    assert len(matrix_figure("m", "errors", other)) == 1


def test_the_slider_starts_within_its_ends() -> None:
    lines = [{"precision": [1.0, None], "recall": [1.0, 0.0], "f1": [1.0, 0.0]}]
    curves = {"thresholds": [0.0, 1.0], "lines": lines}
    assert [slider(curves, start).start for start in (-1.0, 0.3, 7.0)] == [0.0, 0.3, 1.0]


def test_charts_of_a_training() -> None:
    lines = {
        "training": {"steps": [1, 2], "values": [2.0, 1.0]},
        "validation": {"steps": [2], "values": [1.5]},
    }
    (figure,) = training_figures([{"title": "loss", "lines": lines}])
    assert {"training", "validation", "step", "loss"} <= set(re.findall(r">([^<>\s]+)<", figure.svg))
    assert training_figures([]) == []


def test_of_each_evaluator_the_figure_that_ranks_images_is_drawn() -> None:
    reports = [
        Report("coco", {}, images=("x", "y"), per_image={"bbox/F1": [0.5, 1.0], "bbox/wrong": [2.0, 0.0]}),
        Report("iou", {}, images=("x", "y"), per_image={"mean_iou": [float("nan")] * 2}),
    ]
    (figure,) = distribution_figures(distributions([report.to_dict() for report in reports]))
    assert figure.title == "bbox/F1 of single images (coco)"
    assert figure.note == "The dashed line is the median, 0.750."


def test_reliability_is_compared_with_the_diagonal() -> None:
    lines: dict[str, list[float | None]] = {
        "mean score": [0.1, 0.9],
        "fraction correct": [0.3, None],
        "fraction of all detections": [1.0, 0.0],
    }
    figure = curve_figure("c", "segm/reliability", curve(lines), [])
    assert figure is not None
    assert re.findall(r">(fraction correct|share of all|mean score)<", figure.svg) == [
        "fraction correct",
        "share of all",
    ]
    assert "diagonal" in figure.note


def test_what_does_not_occur_has_no_place_in_a_matrix() -> None:
    names = ["never", "a", "nothing"]
    matrix = {"row_label": "true class", "column_label": "seen", "rows": names, "columns": names}
    figure, *_ = matrix_figure("m", "confusion", matrix | {"values": [[0, 0, 0], [0, 5, 1], [0, 2, 0]]})
    assert isinstance(figure, Figure)
    assert "never" not in figure.svg
    assert "detections without an object" in figure.note
    figure, *_ = matrix_figure("m", "confusion", matrix | {"values": [[0, 0, 0], [1, 5, 1], [0, 2, 0]]})
    assert isinstance(figure, Figure)
    assert "never" in figure.svg, "it was seen where it is not"
    kinds = {"row_label": "class", "column_label": "kind", "rows": ["never", "a"], "columns": ["x", "y"]}
    figure, *_ = matrix_figure("m", "errors", kinds | {"values": [[0, 0], [0, 2]]})
    assert isinstance(figure, Figure)
    assert "never" not in figure.svg
    assert ">x<" in figure.svg


def test_objects_that_were_not_found_are_not_called_confused() -> None:
    names = ["a", "b", "nothing"]
    matrix = {"row_label": "true", "column_label": "seen", "rows": names, "columns": names}
    _, note = matrix_figure("m", "confusion", matrix | {"values": [[995, 5, 0], [1, 1, 8], [9, 0, 0]]})
    assert not isinstance(note, Figure)
    assert note.lines == ["Most often confused: 10% of b as a; 0.5% of a as b."]


def test_a_large_matrix_has_the_width_of_the_page() -> None:
    for count in (12, 13):
        names = [f"class {i}" for i in range(count)]
        values = [[int(row == column) for column in range(count)] for row in range(count)]
        matrix = {"row_label": "true", "column_label": "seen", "rows": names, "columns": names}
        (figure,) = matrix_figure("m", "confusion", matrix | {"values": values})
        assert isinstance(figure, Figure)
        assert figure.is_large == (count > 12)


def test_a_loss_that_was_very_high_once_has_a_logarithmic_axis() -> None:
    lines = {"training": {"steps": list(range(1, 40)), "values": [0.5] * 20 + [500.0] + [0.4] * 18}}
    (figure,) = training_figures([{"title": "loss", "lines": lines}])
    assert figure.title == "Loss"
    assert {"1", "10", "100"} <= set(re.findall(r">([^<>\s]+)<", figure.svg))
    assert "mathdefault" not in figure.svg
