"""Turns curves and matrices of a document into charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.reporting.charts import MOST_LINES, bar_chart, line_chart, matrix_chart, points_chart
from toolkit.reporting.parts import Figure, Note, Slider

UNIT = (0.0, 1.0)
UNIT_WITH_ROOM = (0.0, 1.02)
RELIABILITY = "reliability"
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
    reliable = title.endswith(RELIABILITY)
    drawn = line_chart(
        name,
        curve["x"],
        {line: defined[line] for line in order},
        curve["x_label"],
        curve["y_label"],
        x_range=UNIT if 0 <= min(curve["x"]) < 0.1 and 0.9 < max(curve["x"]) <= 1 else None,
        y_range=UNIT_WITH_ROOM if is_unit else None,
        diagonal=reliable,
    )
    return Figure(title, drawn.svg, note)


def matrix_figure(name: str, title: str, matrix: Mapping[str, Any]) -> list[Figure | Note]:
    """A chart of a matrix of counts, and its largest values off the diagonal in words.

    Args:
        name: of the chart, unique in its page.
        title: of the matrix.
        matrix: as ``Matrix`` has it.
    """
    rows, columns, values = matrix["rows"], matrix["columns"], matrix["values"]
    shares = [[count / sum(row) if sum(row) else None for count in row] for row in values]
    drawn = matrix_chart(name, rows, columns, shares, matrix["row_label"], matrix["column_label"])
    figure = Figure(title, drawn.svg, f"In percent of each {matrix['row_label']} (row).")
    if rows != columns:
        return [figure]
    off = [
        (share, rows[r], columns[c])
        for r, row in enumerate(shares)
        for c, share in enumerate(row)
        if share and r != c
    ]
    largest = sorted(off, key=lambda each: -each[0])[:MOST_CONFUSED]
    told = "; ".join(f"{100 * share:.0f}% of {row} as {column}" for share, row, column in largest)
    return [figure, Note([f"Most often confused: {told}."])] if told else [figure]


def training_figures(charts: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The charts of a training.

    Args:
        charts: of ``toolkit.reporting.document.training_curves``.
    """
    figures = []
    for place, chart in enumerate(charts):
        lines = {name: (line["steps"], line["values"]) for name, line in chart["lines"].items()}
        drawn = points_chart(f"training-{place}", lines, "step", chart["title"])
        figures.append(Figure(chart["title"], drawn.svg))
    return figures


def distribution_figures(distributions: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """How many images have which value of the figure that ranks them, one chart for each evaluator.

    Args:
        distributions: of ``toolkit.reporting.image_values``.
    """
    figures = []
    for place, entry in enumerate(distributions):
        if entry["main"] and entry["counts"]:
            median = entry["quantiles"][len(entry["quantiles"]) // 2]
            drawn = bar_chart(
                f"images-{place}", entry["edges"], entry["counts"], entry["name"], "images", mark=median
            )
            note = f"The dashed line is the median, {median:.3f}."
            figures.append(Figure(f"{entry['report']}: {entry['name']} of single images", drawn.svg, note))
    return figures
