"""The results of an evaluator."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.errors import InvalidDataError
from toolkit.runtime.extras import import_pandas
from toolkit.runtime.text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group
    from rich.table import Table
    from rich.text import Text


@dataclass(frozen=True)
class Curve:
    """Lines over a common axis, for a plot.

    Attributes:
        x_label, y_label: what the axes show.
        x: the points along the axis.
        y: name of each line -> one value per point; NaN where it is undefined.

    Raises:
        InvalidDataError: when a line does not have one value per point.
    """

    x_label: str
    y_label: str
    x: list[float]
    y: Mapping[str, list[float]]

    def __post_init__(self) -> None:
        for name, values in self.y.items():
            if len(values) != len(self.x):
                raise InvalidDataError(f"the line {name!r} has {len(values)} values for {len(self.x)} points")


@dataclass(frozen=True)
class Matrix:
    """Counts by two criteria, for a picture, such as a confusion matrix.

    Attributes:
        row_label, column_label: what rows and columns stand for.
        rows, columns: their names.
        values: one list of counts per row.

    Raises:
        InvalidDataError: when the numbers of values and names differ.
    """

    row_label: str
    column_label: str
    rows: list[str]
    columns: list[str]
    values: list[list[int]]

    def __post_init__(self) -> None:
        if [len(row) for row in self.values] != [len(self.columns)] * len(self.rows):
            raise InvalidDataError(
                f"a matrix of {len(self.rows)} rows and {len(self.columns)} columns cannot have rows of"
                f" {[len(row) for row in self.values]} values"
            )


@dataclass(frozen=True)
class Report:
    """The metrics of an evaluator, overall and for each class. Undefined values are NaN, never -1 or 0.

    Attributes:
        name: the name of the evaluator.
        metrics: value by name, the most important first.
        per_class: name -> one value per class, in the order of ``classes``.
        classes: the names of the classes.
        notes: sentences that a reader needs to interpret the metrics.
        curves: curves worth plotting by name, such as precision over recall.
        lower_is_better: names of the metrics for which lower is better, such as an error.
        matrices: counts by two criteria by name, such as a confusion matrix.
        summary: sentences that explain the figures, the most important first.
        details: names of metrics, of figures in ``per_class`` and of curves that tables and pictures leave
            out.
        images: the ids of the samples in ``per_image``.
        per_image: name -> one value per sample, in the order of ``images``.
        groups: how many images each group of ``toolkit.evaluation.slices`` has; metrics of a group end with
            its name in brackets, as ``mean_iou[weather=rain]``.

    Raises:
        InvalidDataError: when a list in ``per_class`` does not have one value per class, one in
            ``per_image`` not one per image, or ``lower_is_better`` contains a name that is not a metric.
    """

    name: str
    metrics: Mapping[str, float]
    per_class: Mapping[str, list[float]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    lower_is_better: tuple[str, ...] = ()
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    summary: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    per_image: Mapping[str, list[float]] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for owners, figures, what in (
            (self.classes, self.per_class, "classes"),
            (self.images, self.per_image, "images"),
        ):
            for name, values in figures.items():
                if len(values) != len(owners):
                    raise InvalidDataError(
                        f"Report {self.name!r}: {name} has {len(values)} values for {len(owners)} {what}"
                    )
        unknown = [name for name in self.lower_is_better if name not in self.metrics]
        if unknown:
            raise InvalidDataError(
                f"Report {self.name!r}: lower_is_better names {', '.join(unknown)}, but the metrics are"
                f" {', '.join(self.metrics) or 'none'}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON, with NaN and infinity as None."""
        document: dict[str, Any] = {
            "name": self.name,
            "metrics": {metric: _number(value) for metric, value in self.metrics.items()},
            "per_class": {
                metric: [_number(value) for value in values] for metric, values in self.per_class.items()
            },
            "classes": list(self.classes),
            "notes": list(self.notes),
            "lower_is_better": list(self.lower_is_better),
        }
        if self.summary:
            document["summary"] = list(self.summary)
        if self.details:
            document["details"] = list(self.details)
        if self.per_image:
            document["images"] = list(self.images)
            document["per_image"] = {
                name: [_number(value) for value in values] for name, values in self.per_image.items()
            }
        if self.groups:
            document["groups"] = dict(self.groups)
        if self.curves:
            document["curves"] = {name: _curve(curve) for name, curve in self.curves.items()}
        if self.matrices:
            document["matrices"] = {name: asdict(matrix) for name, matrix in self.matrices.items()}
        return document

    def to_json(self) -> str:
        """The report as one line of JSON, with ``null`` for undefined values."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def to_dataframe(self, *, per_class: bool = False) -> Any:
        """A ``pandas.DataFrame``: one row per metric with its ``value``, or one row per class with one column
        per metric. Undefined values are NaN.

        Args:
            per_class: return the metrics of each class instead of the overall ones.

        Raises:
            UnavailableError: when pandas is not installed.
        """
        pandas = import_pandas("to_dataframe()")
        if per_class:
            index = pandas.Index(list(self.classes), name="class")
            return pandas.DataFrame({name: list(v) for name, v in self.per_class.items()}, index=index)
        return _metrics_frame(pandas, self.metrics)

    def __repr__(self) -> str:
        return f"Report({', '.join([repr(self.name), *_headline(self.metrics)])})"

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return as_html(self.table())

    def table(self) -> Group:
        """A table for ``rich``: the metrics, a row for each class, the summary and the notes; without
        details.
        """
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        summary = Table("metric", title=Text(self.name), title_justify="left")
        summary.add_column("value", justify="right")
        hidden = set(self.details)
        for metric, value in self.metrics.items():
            if metric not in hidden:
                summary.add_row(Text(metric), _text(value))
        parts: list[Table | Text | _ClassTables] = [summary]
        shown = {metric: values for metric, values in self.per_class.items() if metric not in hidden}
        if shown:
            cells = {metric: [_text(value) for value in values] for metric, values in shown.items()}
            parts.append(_ClassTables([printable(name) for name in self.classes], cells))
        return Group(*parts, *(Text(printable(line)) for line in (*self.summary, *self.notes)))


class _ClassTables:
    """A row for each class; the columns are split over several tables if one would be too wide, so that no
    heading and no value is cut off.

    Args:
        classes: the names.
        cells: metric -> a cell for each class.
    """

    def __init__(self, classes: Sequence[str], cells: Mapping[str, Sequence[str]]) -> None:
        self._classes, self._cells = classes, cells

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        around = 3  # a border and two spaces
        label = max(map(cell_len, ("class", *self._classes))) + around + 1
        room = options.max_width - min(label, options.max_width // 2)
        groups: list[list[str]] = [[]]
        left = room
        for metric, cells in self._cells.items():
            width = max(cell_len(metric), *map(cell_len, cells), 0) + around
            if groups[-1] and width > left:
                groups.append([])
                left = room
            groups[-1].append(metric)
            left -= width
        for metrics in groups:
            table = Table("class")
            for metric in metrics:
                table.add_column(Text(metric), justify="right", overflow="fold")
            for index, name in enumerate(self._classes):
                table.add_row(Text(name), *(self._cells[metric][index] for metric in metrics))
            yield table


class Reports(tuple[Report, ...]):
    """The results of several evaluators for one model, each a ``Report``."""

    __slots__ = ()

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics by name."""
        return {name: value for report in self for name, value in report.metrics.items()}

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``, one row per metric with its ``value``.

        Raises:
            UnavailableError: when pandas is not installed.
        """
        return _metrics_frame(import_pandas("to_dataframe()"), self.metrics)

    def __repr__(self) -> str:
        return f"Reports({', '.join(map(repr, self))})"

    def _repr_html_(self) -> str:
        """The tables, one below the other, for notebooks."""
        return "".join(report._repr_html_() for report in self)


def as_html(renderable: Any) -> str:
    """Something that ``rich`` can show, such as a table, as HTML for a notebook."""
    from toolkit.runtime.terminal import Terminal

    # In a notebook, rich would show what it prints, regardless of the file that it is given.
    console = Terminal(record=True, file=io.StringIO(), width=160, force_jupyter=False)
    console.print(renderable)
    style = "white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace"
    return console.export_html(inline_styles=True, code_format=f'<pre style="{style}">{{code}}</pre>')


def _metrics_frame(pandas: Any, metrics: Mapping[str, float]) -> Any:
    index = pandas.Index(list(metrics), name="metric")
    return pandas.DataFrame({"value": list(metrics.values())}, index=index)


def _headline(metrics: Mapping[str, float]) -> list[str]:
    """The first three metrics, for a repr."""
    shown = [f"{name} {_text(value)}" for name, value in list(metrics.items())[:3]]
    return shown + (["…"] if len(metrics) > 3 else [])


def is_better(new: float, old: float, *, lower: bool = False) -> bool:
    """Whether ``new`` beats ``old``: higher, or lower for a metric where lower is better. NaN never wins
    and always loses.
    """
    if math.isnan(new):
        return False
    if math.isnan(old):
        return True
    return new < old if lower else new > old


def _curve(curve: Curve) -> dict[str, Any]:
    lines = {name: [_number(value) for value in values] for name, values in curve.y.items()}
    return {
        "x_label": curve.x_label,
        "y_label": curve.y_label,
        "x": [_number(value) for value in curve.x],
        "y": lines,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
