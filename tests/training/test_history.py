"""The figures of a run: its curves, and the table of its validations."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from toolkit.training.history import RESULTS_FILE, History


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / RESULTS_FILE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_row_a_validation_with_the_training_before_it(tmp_path: Path) -> None:
    history = History()
    history.add(0, {"val/mean_iou": 0.1})
    history.add(10, {"loss": 2.0, "lr": 0.1, "grad_norm": 9.0})
    history.add(20, {"loss": 1.0, "lr": 0.05})
    history.add(20, {"val/mean_iou": 0.5, "val/loss": math.nan, "val/iou/sky": None})
    history.write_results(tmp_path)
    assert rows(tmp_path) == [
        {"step": "0", "loss": "", "lr": "", "val/mean_iou": "0.1", "val/loss": "", "val/iou/sky": ""},
        {"step": "20", "loss": "1.0", "lr": "0.05", "val/mean_iou": "0.5", "val/loss": "", "val/iou/sky": ""},
    ]
    assert [list(values) for values in history.curves["loss"]] == [[10, 20], [2.0, 1.0]]


def test_without_a_validation_there_is_a_table_without_rows(tmp_path: Path) -> None:
    history = History()
    history.add(1, {"loss": 1.0})
    history.write_results(tmp_path)
    assert rows(tmp_path) == []
