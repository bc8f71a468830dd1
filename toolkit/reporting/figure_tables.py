"""Tables of metrics with their intervals and the differences to another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.reporting.groups import names_of_groups
from toolkit.reporting.parts import Table

Document = Mapping[str, Any]


def metric_table(report: Mapping[str, Any], document: Document) -> Table:
    """The metrics of a report, without its details and those of groups of images.

    Args:
        report: of an evaluator, as the document has it.
        document: has the intervals and the differences.
    """
    hidden = set(report.get("details", ())) | names_of_groups(report)
    shown = {name: value for name, value in report["metrics"].items() if name not in hidden}
    with_intervals = any(name in document["intervals"] for name in shown)
    columns = ["metric", "value", *(["95 % interval"] if with_intervals else [])]
    reference = document["reference"]
    if reference:
        columns += [reference["name"], "difference", "95 % interval of the difference"]
    rows = []
    for name, value in shown.items():
        row: list[Any] = [name, value]
        if with_intervals:
            row.append(_interval(document["intervals"].get(name)))
        if reference:
            row += [reference["metrics"].get(name), *_difference(name, document)]
        rows.append(row)
    lower = [name for name in report["lower_is_better"] if name not in hidden]
    notes = [f"Lower is better: {', '.join(lower)}."] if lower else []
    return Table(report["name"], columns, rows, notes=[*notes, *report["notes"]])


def detail_tables(document: Document) -> list[Table]:
    """The metrics that the tables above leave out, such as what each kind of error costs."""
    tables = []
    for report in document["reports"]:
        of_groups = names_of_groups(report)
        names = [
            name for name in report.get("details", ()) if name in report["metrics"] and name not in of_groups
        ]
        if names:
            rows = [[name, report["metrics"][name]] for name in names]
            tables.append(Table(f"{report['name']}: details", ["metric", "value"], rows))
    return tables


def group_table(table: Mapping[str, Any], document: Document) -> Table:
    """A row for each group, with its size and its metrics.

    Args:
        table: of ``toolkit.reporting.groups``.
        document: has the intervals and the differences.
    """
    names = list(table["rows"][0]["metrics"])
    metrics = [row["metrics"][name]["metric"] for row in table["rows"] for name in names]
    with_intervals = any(metric in document["intervals"] for metric in metrics)
    reference = document["reference"]
    with_differences = bool(reference) and any(metric in reference["differences"] for metric in metrics)
    columns = ["group", table["unit"]]
    for name in names:
        columns += [name, *(["95 % interval"] if with_intervals else [])]
        if with_differences:
            columns += ["difference", "95 % interval of the difference"]
    rows = []
    for group in table["rows"]:
        row: list[Any] = [group["name"], group["count"]]
        for name in names:
            cell = group["metrics"][name]
            row.append(cell["value"])
            if with_intervals:
                row.append(_interval(document["intervals"].get(cell["metric"])))
            if with_differences:
                row += _difference(cell["metric"], document)
        rows.append(row)
    return Table(f"{table['report']}, by {table['by']}", columns, rows, sortable=True)


def _difference(metric: str | None, document: Document) -> list[str]:
    """The difference to the other run, and its interval."""
    difference = document["reference"]["differences"].get(metric, {})
    value, ends = difference.get("value"), [difference.get("low"), difference.get("high")]
    return [_signed(value), _interval(ends, True)]


def _interval(ends: Sequence[float | None] | None, signed: bool = False) -> str:
    if ends is None or ends[0] is None or ends[1] is None:
        return "–"
    low, high = ((_signed(end) if signed else f"{end:.4f}") for end in ends)
    clear = " *" if signed and (ends[0] > 0 or ends[1] < 0) else ""
    return f"{low} … {high}{clear}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"
