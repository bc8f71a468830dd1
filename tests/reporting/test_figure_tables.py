"""Tables of metrics, with intervals and differences where there are any."""

from __future__ import annotations

from typing import Any

from toolkit.evaluation.report import Report
from toolkit.reporting.figure_tables import class_tables, detail_tables, group_tables, metric_table
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
    (shown,) = group_tables(table, document)
    assert (shown.title, list(shown.columns)) == ("iou, by sky", ["group", "images", "mean_iou"])
    assert shown.rows == [["all images", None, 0.5], ["blue", 7, 0.25]]
    assert shown.sortable


def test_groups_have_intervals_and_differences() -> None:
    difference = {"value": 0.1, "low": 0.05, "high": 0.15}
    (table,) = by_column(IOU)
    (shown,) = group_tables(
        table, document_of({"mean_iou[sky=blue]": [0.2, 0.3]}, {"mean_iou[sky=blue]": difference})
    )
    assert {len(row) for row in shown.rows} == {len(shown.columns)}
    assert shown.rows == [
        ["all images", None, 0.5, "–", "–", "–"],
        ["blue", 7, 0.25, "0.2000 … 0.3000", "+0.1000", "+0.0500 … +0.1500 *"],
    ]
    (shown,) = group_tables(table, document_of({}, {"mean_iou": difference}))
    assert shown.rows[0][3:] == ["+0.1000", "+0.0500 … +0.1500 *"]


def test_a_table_of_groups_that_would_be_too_wide_is_divided_by_metrics() -> None:
    row = {
        "name": "all",
        "count": 3,
        "metrics": {name: {"value": 0.5, "metric": name} for name in ("AP", "AR", "F1")},
    }
    table = {"report": "coco", "by": "size", "unit": "images", "rows": [row]}
    assert len(group_tables(table, document_of({}, None))) == 1
    intervals = {name: [0.4, 0.6] for name in ("AP", "AR", "F1")}
    assert len(group_tables(table, document_of(intervals, None))) == 1
    differences = {name: {"value": 0.1, "low": 0.0, "high": 0.2} for name in intervals}
    shown = group_tables(table, document_of(intervals, differences))
    assert [each.title for each in shown] == [f"coco, by size: {name}" for name in intervals]
    assert all(each.rows[0][:3] == ["all", 3, 0.5] for each in shown)


def test_classes_have_tables_that_fit_into_a_page() -> None:
    report = {
        "name": "coco",
        "classes": ["a", "b"],
        "per_class": {
            "segm/AP": [0.5, None],
            "bbox/AP": [0.6, 0.7],
            "segm/dAP_missed": [0.1, 0.2],
            "segm/F1_threshold": [0.3, 0.4],
            "bbox/ECE": [0.0, 0.1],
        },
        "details": ["segm/dAP_missed", "segm/F1_threshold", "bbox/ECE"],
    }
    tables = class_tables(report, "objects", {"a": 7})
    assert [(table.title, list(table.columns), list(table.rows[0])) for table in tables] == [
        ("coco", ["class", "objects", "segm/AP", "bbox/AP"], ["a", 7, 0.5, 0.6]),
        ("coco, segm: what errors cost (dAP)", ["class", "objects", "missed"], ["a", 7, 0.1]),
        ("coco, segm: scores", ["class", "objects", "at score"], ["a", 7, 0.3]),
        ("coco, bbox: scores", ["class", "objects", "ECE"], ["a", 7, 0.0]),
    ]
    assert all(table.sortable for table in tables)


def test_what_names_mean_stands_below_the_table() -> None:
    report = Report(
        "objects, protocol point+2",
        {"segm/AP": 0.5, "segm/dAP_missed": 0.1, "bbox/dAP_missed": 0.1, "segm/ECE": 0.2, "own": 1.0},
        notes=("A note.",),
        lower_is_better=("segm/dAP_missed", "bbox/dAP_missed", "segm/ECE"),
    ).to_dict()
    table = metric_table(report, document_of({}, None))
    lower, explained, protocol, note = table.notes
    assert lower == "Lower is better: dAP, ECE."
    for start in ("AP is the mean", "segm compares masks", "dAP is by how much", "ECE is the mean"):
        assert start in explained
    assert "AR with" not in explained
    assert (
        protocol == "The prompt for each object is one point in it, then 2 clicks where the answer is wrong."
    )
    assert note == "A note."
