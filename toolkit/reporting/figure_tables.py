"""Tables of metrics with their intervals and the differences to another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.reporting.glossary import meanings, protocol_in_words, short_name
from toolkit.reporting.groups import names_of_groups
from toolkit.reporting.parts import Table

Document = Mapping[str, Any]

INTERVAL = "95% interval"
COST = "dAP_"
HEADS = {
    "F1": "best F1",
    "F1_threshold": "at score",
    "F1_precision": "precision there",
    "F1_recall": "recall there",
}
"""What columns of details are called."""
MOST_COLUMNS = 8
"""Of a table of groups, which fit into a page."""


def metric_table(report: Mapping[str, Any], document: Document) -> Table:
    """The metrics of a report, without its details and those of groups of images.

    Args:
        report: of an evaluator, as the document has it.
        document: has the intervals and the differences.
    """
    hidden = set(report.get("details", ())) | names_of_groups(report)
    names = [name for name in report["metrics"] if name not in hidden]
    notes = [*protocol_in_words(report["name"]), *report["notes"]]
    return _table(report["name"], names, report, document, notes)


def detail_tables(document: Document) -> list[Table]:
    """The metrics that the tables above leave out, such as what each kind of error costs."""
    tables = []
    for report in document["reports"]:
        of_groups = names_of_groups(report)
        names = [
            name for name in report.get("details", ()) if name in report["metrics"] and name not in of_groups
        ]
        if names:
            tables.append(_table(f"{report['name']}: details", names, report, document, []))
    return tables


def _table(
    title: str, names: Sequence[str], report: Mapping[str, Any], document: Document, notes: Sequence[str]
) -> Table:
    """A row for each of some metrics of a report."""
    with_intervals = any(name in document["intervals"] for name in names)
    columns = ["metric", "value", *([INTERVAL] if with_intervals else [])]
    reference = document["reference"]
    if reference:
        columns += [reference["name"], "difference", f"{INTERVAL} of the difference"]
    rows = []
    for name in names:
        row: list[Any] = [name, report["metrics"][name]]
        if with_intervals:
            row.append(_interval(document["intervals"].get(name)))
        if reference:
            row += [reference["metrics"].get(name), *_difference(name, document)]
        rows.append(row)
    lower = list(dict.fromkeys(short_name(name) for name in report["lower_is_better"] if name in names))
    better = [f"Lower is better: {', '.join(lower)}."] if lower else []
    explained = " ".join(meanings(names))
    return Table(title, columns, rows, notes=[*better, *([explained] if explained else []), *notes])


def class_tables(report: Mapping[str, Any], what: str, counts: Mapping[str, Any]) -> list[Table]:
    """A row for each class; details have tables of their own, since one would be too wide to read.

    Args:
        report: of an evaluator, as the document has it.
        what: is counted, ``objects`` or ``pixels``.
        counts: number of these by class; None where it is not known.
    """
    details = set(report.get("details", ()))
    columns: dict[str, list[str]] = {}
    for name in report["per_class"]:
        kind, _, last = name.rpartition("/")
        title = ""
        if name in details:
            part = "what errors cost (dAP)" if last.startswith(COST) else "scores"
            title = f"{kind}: {part}" if kind else part
        columns.setdefault(title, []).append(name)
    tables = []
    for title, names in columns.items():
        heads = [_head(name) if title else name for name in names]
        rows = [
            [name, counts.get(name), *(report["per_class"][each][place] for each in names)]
            for place, name in enumerate(report["classes"])
        ]
        whole = f"{report['name']}, {title}" if title else report["name"]
        tables.append(Table(whole, ["class", what, *heads], rows, sortable=True))
    return tables


def _head(name: str) -> str:
    """The head of a column of details, short, as the title of the table says the rest."""
    last = name.rpartition("/")[2]
    return HEADS.get(last, last.removeprefix(COST).replace("_", " "))


def group_tables(table: Mapping[str, Any], document: Document) -> list[Table]:
    """A row for each group, with its size and its metrics; a table for each metric where one would be too
    wide to read.

    Args:
        table: of ``toolkit.reporting.groups``.
        document: has the intervals and the differences.
    """
    names = list(table["rows"][0]["metrics"])
    whole = _group_table(table, names, document)
    if len(whole.columns) <= MOST_COLUMNS or len(names) < 2:
        return [whole]
    return [_group_table(table, [name], document, f": {name}") for name in names]


def _group_table(table: Mapping[str, Any], names: Sequence[str], document: Document, more: str = "") -> Table:
    metrics = [row["metrics"][name]["metric"] for row in table["rows"] for name in names]
    with_intervals = any(metric in document["intervals"] for metric in metrics)
    reference = document["reference"]
    with_differences = bool(reference) and any(metric in reference["differences"] for metric in metrics)
    columns = ["group", table["unit"]]
    for name in names:
        columns += [name, *([INTERVAL] if with_intervals else [])]
        if with_differences:
            columns += ["difference", f"{INTERVAL} of the difference"]
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
    return Table(f"{table['report']}, by {table['by']}{more}", columns, rows, sortable=True)


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
