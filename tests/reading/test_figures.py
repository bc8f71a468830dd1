"""The lines of a metrics.jsonl."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.reading.figures import METRICS_FILE, read_figures


def test_what_is_no_record_of_a_step_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    path.write_text(
        '{"step": 1, "loss": 0.5}\n[1]\n\n{"loss": 1}\n{"step": 2, "val/x": null}\n{"step": 3, "lo'
    )
    assert read_figures(path) == [{"step": 1, "loss": 0.5}, {"step": 2, "val/x": None}]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="metrics of a run"):
        read_figures(tmp_path / METRICS_FILE)
