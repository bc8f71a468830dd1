"""Tables of metrics, with intervals and differences where there are any."""

from __future__ import annotations

from typing import Any

from toolkit.evaluation.report import Report
from toolkit.reporting.figure_tables import detail_tables, group_table, metric_table
from toolkit.reporting.groups import by_column

IOU = Report(
    "iou",
    {"mean_iou": 0.5, "mean_iou[sky=blue]": 0.25, "other[sky=blue]": 0.1},
    details=("other[sky=blue]",),
    groups={"sky=blue": 7},
).to_dict()


def document_of(intervals: dict[str, list[float]], differences: dict[str, Any] | None) -> dict[str, Any]:
    reference = (
        None
        if differences is None
        else {"name": "old", "metrics": {"mean_iou": 0.4}, "differences": differences}
    )
    return {"intervals": intervals, "reference": reference, "reports": [IOU]}


def test_metrics_of_groups_are_in_their_own_table_only() -> None:
    document = document_of({}, None)
    assert metric_table(IOU, document).rows == [["mean_iou", 0.5]]
    assert detail_tables(document) == []
    (table,) = by_column(IOU)
    shown = group_table(table, document)
    assert (shown.title, list(shown.columns)) == ("iou, by sky", ["group", "images", "mean_iou"])
    assert shown.rows == [["all images", None, 0.5], ["blue", 7, 0.25]]
    assert shown.sortable


def test_groups_have_intervals_and_differences() -> None:
    difference = {"value": 0.1, "low": 0.05, "high": 0.15}
    (table,) = by_column(IOU)
    shown = group_table(
        table, document_of({"mean_iou[sky=blue]": [0.2, 0.3]}, {"mean_iou[sky=blue]": difference})
    )
    assert {len(row) for row in shown.rows} == {len(shown.columns)}
    assert shown.rows == [
        ["all images", None, 0.5, "–", "–", "–"],
        ["blue", 7, 0.25, "0.2000 … 0.3000", "+0.1000", "+0.0500 … +0.1500 *"],
    ]
    shown = group_table(table, document_of({}, {"mean_iou": difference}))
    assert shown.rows[0][3:] == ["+0.1000", "+0.0500 … +0.1500 *"]
