"""The metrics of a run so far, for its curves and its table of validations."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Mapping
from pathlib import Path

from toolkit.runtime.files import atomic_write

RESULTS_FILE = "results.csv"
FROM_TRAINING = ("loss", "lr")
"""The training metrics in a row of the table of validations."""


class History:
    """All metrics that were written to metrics.jsonl, in sixteen bytes each.

    Attributes:
        curves: name -> steps and values, both of the same length; undefined values are NaN.
        validations: one row per validation: the step, the latest training metrics, and everything that was
            measured.
    """

    def __init__(self) -> None:
        self.curves: dict[str, tuple[array[float], array[float]]] = {}
        self.validations: list[dict[str, float]] = []

    def add(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Add the metrics of a step."""
        values = {name: math.nan if value is None else float(value) for name, value in figures.items()}
        for name, value in values.items():
            steps, so_far = self.curves.setdefault(name, (array("d"), array("d")))
            steps.append(step)
            so_far.append(value)
        if any(name.startswith("val/") for name in values):
            known = {name: self.curves[name][1][-1] for name in FROM_TRAINING if name in self.curves}
            self.validations.append({"step": step, **known, **values})

    def write_results(self, folder: Path) -> None:
        """Write the table of validations to ``results.csv``, atomically; undefined values are left empty.

        Raises:
            OutputError: when it cannot be written.
        """
        names = dict.fromkeys(name for row in self.validations for name in ("step", *FROM_TRAINING, *row))
        text = io.StringIO()
        table = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
        table.writeheader()
        for row in self.validations:
            table.writerow({name: value for name, value in row.items() if math.isfinite(value)})
        with atomic_write(folder / RESULTS_FILE, "w") as file:
            file.write(text.getvalue())
