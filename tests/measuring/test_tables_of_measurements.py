"""Rows of tables: sums, shares, units."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from toolkit.measuring.pixel_size import KnownSize, PixelSize
from toolkit.measuring.tables import (
    ClassTotals,
    class_columns,
    class_rows,
    object_columns,
    object_rows,
    summary_columns,
)
from toolkit.types import VOID, Instances, Masks, Prediction

CLASSES = ("cell", "dust", "glass")
SIZE = KnownSize(PixelSize.square(0.5, "um"), "option")
CELLS = {"pixel_width_um": 0.5, "pixel_height_um": 0.5, "pixel_size_from": "option"}


def with_objects() -> Prediction:
    dense = np.zeros((3, 8, 10), bool)
    dense[0, 1:4, 1:5], dense[1, 2:7, 6:9], dense[2, 7, 9] = True, True, True
    masks = Masks.from_dense(dense)
    found = Instances(
        (8, 10), masks.boxes_xyxy(), torch.tensor([0, 0, 1]), masks, torch.tensor([0.9, 0.75, 0.5])
    )
    return Prediction("a.png", (8, 10), instances=found)


def test_a_row_for_each_object() -> None:
    rows = object_rows(with_objects(), CLASSES, known=SIZE)
    assert [(row["image"], row["object"], row["class"], row["score"]) for row in rows] == [
        ("a.png", 0, "cell", pytest.approx(0.9)),
        ("a.png", 1, "cell", 0.75),
        ("a.png", 2, "dust", 0.5),
    ]
    assert [row["area"] for row in rows] == [12, 15, 1]
    assert [row["area_um2"] for row in rows] == [3, 3.75, 0.25]
    assert rows[0]["length_um"] == rows[0]["length"] / 2
    assert [[row[side] for side in ("x0", "y0", "x1", "y1")] for row in rows[:2]] == [
        [1, 1, 5, 4],
        [6, 2, 9, 7],
    ]
    for row in rows:
        assert set(row) == set(object_columns("um", with_colors=False))


def test_colors_are_columns_where_there_is_an_image() -> None:
    (first, *_) = object_rows(with_objects(), CLASSES, image=torch.full((3, 8, 10), 7, dtype=torch.uint8))
    assert set(first) == set(object_columns(None, with_colors=True))
    assert first["mean_green"] == 7


def test_boxes_alone_have_an_area() -> None:
    found = Instances((8, 10), torch.tensor([[1.0, 2, 4, 4.5]]), torch.tensor([2]))
    (row,) = object_rows(Prediction("b", (8, 10), instances=found), CLASSES, known=SIZE)
    assert row["area"] == 7.5
    assert row["area_um2"] == pytest.approx(7.5 / 4)
    assert "solidity" not in row
    assert row["score"] is None


def test_ids_of_objects_are_kept() -> None:
    prediction = with_objects()
    assert prediction.instances is not None
    named = Instances(
        (8, 10), prediction.instances.boxes_xyxy, prediction.instances.labels, ids=("x", "y", "z")
    )
    rows = object_rows(Prediction("a", (8, 10), instances=named), CLASSES)
    assert [row["object"] for row in rows] == ["x", "y", "z"]


def test_classes_of_an_image() -> None:
    prediction = with_objects()
    rows = class_rows(prediction, CLASSES, objects=object_rows(prediction, CLASSES), known=SIZE)
    assert rows == [
        {"image": "a.png", "class": "cell", "objects": 2, "area": 27, "share": 27 / 80, "area_um2": 6.75}
        | CELLS,
        {"image": "a.png", "class": "dust", "objects": 1, "area": 1, "share": 1 / 80, "area_um2": 0.25}
        | CELLS,
    ]
    assert list(rows[0]) == class_columns("um")


def test_classes_of_a_label_map() -> None:
    label_map = torch.tensor([[0, 0, 2], [2, 2, VOID]], dtype=torch.uint8)
    rows = class_rows(Prediction("m", (2, 3), label_map), CLASSES, objects=())
    assert [(row["class"], row["objects"], row["area"], row["share"]) for row in rows] == [
        ("cell", None, 2, 2 / 6),
        ("glass", None, 3, 3 / 6),
    ]


def test_a_summary_of_all_images() -> None:
    summary, prediction = ClassTotals(), with_objects()
    label_map = torch.zeros(4, 5, dtype=torch.uint8)
    for each in (prediction, prediction, Prediction("m", (4, 5), label_map)):
        rows = class_rows(each, CLASSES, objects=object_rows(each, CLASSES), known=SIZE)
        summary.add(each, rows, SIZE)
    first, second = summary.rows("um")
    assert summary.images == 3
    assert (
        first
        == {
            "class": "cell",
            "images": 3,
            "objects": 4,
            "area": 74,
            "share": 74 / 180,
            "mean_area": 74 / 4,
            "area_um2": 18.5,
            "mean_area_um2": 18.5 / 4,
        }
        | CELLS
    )
    assert (second["class"], second["images"], second["objects"], second["mean_area"]) == ("dust", 2, 2, 1)
    assert list(first) == summary_columns("um")


def test_an_image_counts_once_for_a_class_that_has_objects_and_pixels_of_a_label_map() -> None:
    summary, objects = ClassTotals(), with_objects().instances
    label_map = torch.zeros(8, 10, dtype=torch.uint8)
    label_map[:2] = 2
    both = Prediction("a.png", (8, 10), label_map, objects)
    for each in (both, Prediction("b.png", (8, 10), label_map)):
        summary.add(each, class_rows(each, CLASSES, objects=object_rows(each, CLASSES)))
    rows = {row["class"]: (row["images"], row["objects"], row["area"]) for row in summary.rows()}
    assert rows == {"cell": (2, 2, 27 + 60), "dust": (1, 1, 1), "glass": (2, None, 40)}


def test_nothing_to_sum_up() -> None:
    assert list(ClassTotals().rows()) == []


def test_a_summary_of_images_with_different_sizes() -> None:
    summary, prediction = ClassTotals(), with_objects()
    other = KnownSize(PixelSize(1, 0.5, "um"), "sizes.csv")
    for known in (SIZE, other):
        rows = class_rows(prediction, CLASSES, objects=object_rows(prediction, CLASSES), known=known)
        summary.add(prediction, rows, known)
    first, _ = summary.rows("um")
    assert first["area_um2"] == 27 * 0.25 + 27 * 0.5
    assert (first["pixel_width_um"], first["pixel_height_um"]) == (None, None)
    assert first["pixel_size_from"] == "option; sizes.csv"


def test_areas_of_which_a_part_is_not_known_are_undefined() -> None:
    summary, prediction = ClassTotals(), with_objects()
    for known in (SIZE, None):
        rows = class_rows(prediction, CLASSES, objects=object_rows(prediction, CLASSES), known=known)
        summary.add(prediction, rows, known)
    first, _ = summary.rows("um")
    assert first["area"] == 54
    assert math.isnan(first["area_um2"])
    assert math.isnan(first["mean_area_um2"])
    assert first["pixel_width_um"] is None


def test_pixels_that_are_not_square() -> None:
    prediction = with_objects()
    known = KnownSize(PixelSize(2, 0.5, "mm"), "option")
    row, second, _ = object_rows(prediction, CLASSES, known=known)
    assert row["area_mm2"] == 12 * 2 * 0.5
    assert row["equivalent_diameter_mm"] == pytest.approx(math.sqrt(4 * 12 / math.pi))
    assert math.isnan(row["perimeter_mm"])
    # rows 2 to 6, columns 6 to 8: the longer axis in pixels is the shorter one in millimeters
    assert second["length"] == pytest.approx(4 * math.sqrt((5**2 - 1) / 12))
    assert second["length_mm"] == pytest.approx(4 * math.sqrt((3**2 - 1) / 12) * 2)
    assert second["width_mm"] == pytest.approx(4 * math.sqrt((5**2 - 1) / 12) * 0.5)
