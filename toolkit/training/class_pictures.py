"""The pictures that tell classes apart: what is confused with what, and a curve for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.evaluation.report import Report
from toolkit.visualization.class_plots import ClassLines, draw_class_lines, draw_confusion

CONFUSION, CLASS_CURVES = "val-confusion.png", "val-class-curves.png"


def draw_confusions(reports: Sequence[Report], folder: Path, when: str) -> None:
    """Draw the first matrix of counts in the reports to ``val-confusion.png``, if there is one.

    Args:
        reports: of one validation.
        folder: of the run.
        when: which validation it was, for the title.
    """
    for report in reports:
        for name, matrix in report.matrices.items():
            counts = np.asarray(matrix.values, np.int64).reshape(len(matrix.rows), len(matrix.columns))
            if counts.any():
                title = (
                    f"{name}, in % of each {matrix.row_label} (row); columns: {matrix.column_label}; {when}"
                )
                draw_confusion(counts, matrix.rows, matrix.columns, folder / CONFUSION, title=title)
                return


def draw_class_curves(reports: Sequence[Report], folder: Path, when: str) -> None:
    """Draw all curves in the reports that have one line per class to ``val-class-curves.png``, if there are
    any.

    Args:
        reports: of one validation.
        folder: of the run.
        when: which validation it was, for the title.
    """
    plots = [
        ClassLines(f"{name}, {when}", curve.x_label, curve.y_label, curve.x, curve.y)
        for report in reports
        for name, curve in report.curves.items()
        if curve.y and set(curve.y) <= set(report.classes)
    ]
    if any(np.isfinite(values).any() for plot in plots for values in plot.lines.values()):
        draw_class_lines(plots, folder / CLASS_CURVES)
