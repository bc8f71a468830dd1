"""Turns curves and matrices of a document into charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.reporting.charts import (
    MOST_LINES,
    MOST_WRITTEN,
    bar_chart,
    line_chart,
    matrix_chart,
    points_chart,
)
from toolkit.reporting.glossary import title_of
from toolkit.reporting.parts import Figure, Note, Slider

UNIT = (0.0, 1.0)
UNIT_WITH_ROOM = (0.0, 1.02)
RELIABILITY = "reliability"
RIGHT, MEAN_SCORE, OF_ALL = "fraction correct", "mean score", "fraction of all"
"""Lines of a reliability diagram, the last one by its beginning."""
NOTHING = "nothing"
"""In a confusion matrix of objects, the row of detections that found none, and the column of objects that
were not found.
"""
MOST_TIMES = 10
"""The highest loss, as a multiple of the median, up to which the axis is linear."""
MOST_CONFUSED = 5


def slider(curves: Mapping[str, Any], start: float) -> Slider:
    """The curves of all classes together over the score threshold, with the values of each class.

    Args:
        curves: of ``toolkit.reporting.score_curves``.
        start: where the slider stands at first.
    """
    everything = curves["lines"][0]
    lines = {"precision": everything["precision"], "recall": everything["recall"], "F1": everything["f1"]}
    drawn = line_chart(
        "by-score",
        curves["thresholds"],
        lines,
        "score threshold",
        "all classes",
        x_range=UNIT,
        y_range=UNIT_WITH_ROOM,
    )
    return Slider(Figure("", drawn.svg), drawn.area, curves, min(1.0, max(0.0, start)))


def curve_figure(
    name: str, title: str, curve: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]
) -> Figure | None:
    """A chart of a curve of an evaluator; None where all of it is undefined. Of too many lines, those of the
    classes with the most objects are shown.

    Args:
        name: of the chart, unique in its page.
        title: of the curve.
        curve: as ``Curve`` has it, undefined values are None.
        classes: of the data section, with their counts.
    """
    defined = {
        line: values for line, values in curve["y"].items() if any(each is not None for each in values)
    }
    if not defined:
        return None
    sizes = {entry["name"]: entry.get("objects", entry.get("pixels", 0)) for entry in classes}
    order = list(defined)
    note = ""
    if len(order) > MOST_LINES:
        if set(order) <= set(sizes):
            order = sorted(order, key=lambda line: -sizes[line])[:MOST_LINES]
            note = (
                f"The {MOST_LINES} classes with the most objects, of {len(defined)}; the JSON file has all."
            )
        else:  # evenly, and the last one
            places = [round(i * (len(order) - 1) / (MOST_LINES - 1)) for i in range(MOST_LINES)]
            order = [order[place] for place in places]
            note = f"{MOST_LINES} of {len(defined)} lines; the JSON file has all."
    values = [each for line in order for each in defined[line] if each is not None]
    is_unit = min(values) >= 0 and max(values) <= 1
    if title.endswith(RELIABILITY) and RIGHT in defined:
        return _reliability_figure(name, title, curve)
    drawn = line_chart(
        name,
        curve["x"],
        {line: defined[line] for line in order},
        curve["x_label"],
        curve["y_label"],
        x_range=UNIT if 0 <= min(curve["x"]) < 0.1 and 0.9 < max(curve["x"]) <= 1 else None,
        y_range=UNIT_WITH_ROOM if is_unit else None,
    )
    return Figure(title_of(title), drawn.svg, note)


def _reliability_figure(name: str, title: str, curve: Mapping[str, Any]) -> Figure:
    """How many predictions are right over the mean score of each bin, and how many predictions it has."""
    y = curve["y"]
    points = [
        (score, right)
        for score, right in zip(y.get(MEAN_SCORE, curve["x"]), y[RIGHT], strict=True)
        if score is not None and right is not None
    ]
    lines = {RIGHT: ([score for score, _ in points], [right for _, right in points])}
    for line in y:
        if line.startswith(OF_ALL):
            lines["share of all"] = (curve["x"], y[line])
    drawn = points_chart(
        name,
        lines,
        curve["x_label"],
        curve["y_label"],
        x_range=UNIT,
        y_range=UNIT_WITH_ROOM,
        diagonal=True,
    )
    note = (
        "On the dotted diagonal, scores are what they promise: of the predictions with a score of 0.8, 80%"
        " are right. Below it the model is too sure, above it not sure enough."
    )
    return Figure(title_of(title), drawn.svg, note)


def matrix_figure(name: str, title: str, matrix: Mapping[str, Any]) -> list[Figure | Note]:
    """A chart of a matrix of counts, and its largest values off the diagonal in words.

    Args:
        name: of the chart, unique in its page.
        title: of the matrix.
        matrix: as ``Matrix`` has it.
    """
    rows, columns, values = _occurring(matrix)
    shares = [[count / sum(row) if sum(row) else None for count in row] for row in values]
    drawn = matrix_chart(name, rows, columns, shares, matrix["row_label"], matrix["column_label"])
    note = f"The percentages of each row ({matrix['row_label']}) add up to 100."
    if NOTHING in rows and NOTHING in columns:
        note += (
            f" The row {NOTHING} has detections without an object, the column objects that were not found."
        )
    figure = Figure(title_of(title), drawn.svg, note, is_large=max(len(rows), len(columns)) > MOST_WRITTEN)
    if matrix["rows"] != matrix["columns"]:
        return [figure]
    off = [
        (share, rows[r], columns[c])
        for r, row in enumerate(shares)
        for c, share in enumerate(row)
        if share and rows[r] != columns[c] and NOTHING not in (rows[r], columns[c])
    ]
    largest = sorted(off, key=lambda each: -each[0])[:MOST_CONFUSED]
    told = "; ".join(f"{_percent(share)} of {row} as {column}" for share, row, column in largest)
    return [figure, Note([f"Most often confused: {told}."])] if told else [figure]


def _occurring(matrix: Mapping[str, Any]) -> tuple[list[str], list[str], list[list[float]]]:
    """Rows and columns and values without what does not occur at all: rows of zeros, and in a matrix of the
    same names along both sides their columns, if these are zeros, too.
    """
    rows, columns, values = matrix["rows"], matrix["columns"], matrix["values"]
    empty_rows = {name for name, row in zip(rows, values, strict=True) if not any(row)}
    empty_columns = {name for place, name in enumerate(columns) if not any(row[place] for row in values)}
    left_out = empty_rows & empty_columns if rows == columns else empty_rows
    kept = [place for place, name in enumerate(columns) if name not in left_out or rows != columns]
    return (
        [name for name in rows if name not in left_out],
        [columns[place] for place in kept],
        [
            [row[place] for place in kept]
            for name, row in zip(rows, values, strict=True)
            if name not in left_out
        ],
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.01 else f"{100 * share:.1g}%"


def training_figures(charts: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The charts of a training.

    Args:
        charts: of ``toolkit.reporting.document.training_curves``.
    """
    figures = []
    steps = [step for chart in charts for line in chart["lines"].values() for step in line["steps"]]
    for place, chart in enumerate(charts):
        lines = {name: (line["steps"], line["values"]) for name, line in chart["lines"].items()}
        values = sorted(value for line in chart["lines"].values() for value in line["values"])
        drawn = points_chart(
            f"training-{place}",
            lines,
            "step",
            chart["title"],
            x_range=(0, max(1, *steps)),
            # a few steps of a very high loss would flatten all others
            logarithmic=values[0] > 0 and values[-1] > MOST_TIMES * values[len(values) // 2],
        )
        figures.append(Figure(chart["title"].capitalize(), drawn.svg))
    return figures


def _is_yes_or_no(entry: Mapping[str, Any]) -> bool:
    counts, ends = entry["counts"], (entry["edges"][0], entry["edges"][-1])
    return ends == UNIT and not any(counts[1:-1]) and entry["name"].rpartition("/")[2] == "right"


def distribution_figures(distributions: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """How many images have which value of the figure that ranks them, one chart for each evaluator.

    Args:
        distributions: of ``toolkit.reporting.image_values``.
    """
    figures = []
    for place, entry in enumerate(distributions):
        # of values that are all 0 or 1, the table says as much
        if entry["main"] and entry["counts"] and not _is_yes_or_no(entry):
            median = entry["quantiles"][len(entry["quantiles"]) // 2]
            drawn = bar_chart(
                f"images-{place}", entry["edges"], entry["counts"], entry["name"], "images", mark=median
            )
            note = f"The dashed line is the median, {median:.3f}."
            figures.append(Figure(f"{entry['name']} of single images ({entry['report']})", drawn.svg, note))
    return figures
