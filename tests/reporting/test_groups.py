"""Figures of groups: by the size of objects, by a table about the images, and by the size of the images."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.evaluation.report import Report
from toolkit.reporting.groups import FEWEST_IMAGES, by_image_size, grouped, names_of_groups

COCO = Report(
    "coco",
    {
        **{"bbox/AP": 0.5, "bbox/APs": float("nan"), "bbox/APm": 0.4, "bbox/APl": 0.6},
        **{"bbox/AR1": 0.3, "bbox/AR10": 0.55, "bbox/AR100": 0.6, "bbox/ARs": float("nan")},
        **{"bbox/ARm": 0.5, "bbox/ARl": 0.7},
        **{"bbox/AP[row=a]": 0.45, "bbox/AR1[row=a]": 0.2, "bbox/AP[row=b]": 0.65, "bbox/AR1[row=b]": 0.3},
        **{"bbox/AP[lux=0…5]": 0.5, "bbox/AR1[lux=0…5]": 0.25},
    },
    details=("bbox/AR1[row=a]", "bbox/AR1[row=b]", "bbox/AR1[lux=0…5]"),
    images=tuple("wxyz"),
    per_image={"bbox/F1": [0.5] * 4},
    groups={"row=a": 3, "row=b": 1, "lux=0…5": 4},
)


def values_of(table: dict[str, Any]) -> list[list[Any]]:
    return [
        [row["name"], row["count"], *(cell["value"] for cell in row["metrics"].values())]
        for row in table["rows"]
    ]


def test_cocos_sizes_are_one_table_and_each_column_is_another() -> None:
    sizes, row, lux = grouped([COCO.to_dict()], {"small": 0, "medium": 6, "large": 4}, {})
    assert [sizes["by"], row["by"], lux["by"]] == ["size of the objects", "row", "lux"]
    assert values_of(sizes) == [
        ["all objects", 10, 0.5, 0.6],
        ["small, below 32²", 0, None, None],
        ["medium", 6, 0.4, 0.5],
        ["large, above 96²", 4, 0.6, 0.7],
    ]
    assert sizes["rows"][0]["metrics"]["bbox/AR"]["metric"] == "bbox/AR100"
    assert values_of(row) == [["all images", 4, 0.5], ["a", 3, 0.45], ["b", 1, 0.65]]
    assert row["rows"][1]["metrics"]["bbox/AP"]["metric"] == "bbox/AP[row=a]"
    assert values_of(lux) == [["all images", 4, 0.5], ["0…5", 4, 0.5]]


def test_names_of_groups_are_all_of_them_and_nothing_else() -> None:
    names = names_of_groups(COCO.to_dict())
    assert names == {name for name in COCO.metrics if "[" in name}
    assert names_of_groups(Report("own", {"odd[name]": 1.0}).to_dict()) == set()


def test_a_report_without_groups_has_no_table() -> None:
    assert grouped([Report("own", {"x": 1.0, "maps": 1.0}).to_dict()], None, {}) == []
    assert grouped([], {"small": 1}, {}) == []


def of_sizes(sizes: list[tuple[int, int]], values: list[float]) -> list[list[Any]]:
    images = tuple(map(str, range(len(values))))
    report = Report("iou", {"mean_iou": 0.5}, images=images, per_image={"mean_iou": values})
    tables = list(by_image_size(report.to_dict(), dict(zip(images, sizes, strict=True))))
    assert len(tables) <= 1
    return [row for table in tables for row in values_of(table)]


def test_images_of_few_sizes_are_grouped_by_each() -> None:
    sizes = [(60, 80), (120, 80)] * 4
    values = [0.25, 0.5, 0.25, 1.0, 0.25, float("nan"), 0.25, float("nan")]
    assert of_sizes(sizes, values) == [
        ["all images", 8, pytest.approx(2.5 / 6)],
        ["80 × 60", 4, 0.25],
        ["80 × 120", 4, 0.75],
    ]


def test_images_of_many_sizes_are_divided_into_quarters() -> None:
    rows = of_sizes([(1000, 1000 * (i + 1)) for i in range(20)], [float(i // 5) for i in range(20)])
    assert [row[1:] for row in rows] == [[20, 1.5], [5, 0.0], [5, 1.0], [5, 2.0], [5, 3.0]]
    assert rows[1][0] == "1 … 5.75 megapixels"


def test_images_of_one_size_and_few_images_are_not_grouped() -> None:
    assert of_sizes([(60, 80)] * 20, [0.5] * 20) == []
    few = FEWEST_IMAGES - 1
    assert of_sizes([(60, 80 + i) for i in range(few)], [0.5] * few) == []
    assert of_sizes([], []) == []
