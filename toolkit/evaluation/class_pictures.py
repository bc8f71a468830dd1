"""Pictures of measurements: which classes are confused, a curve for each class, and reliability diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.evaluation.calibration import RIGHT
from toolkit.evaluation.report import Report
from toolkit.visualization.class_plots import class_plot, draw_confusion
from toolkit.visualization.plots import Plot, draw_plots


def draw_all(reports: Sequence[Report], path: Path, when: str) -> list[Path]:
    """Draw everything that is available next to a file, such as ``eval-cats-val.json``:
    ``eval-cats-val-confusion.png``, ``…-pr.png`` and ``…-reliability.png``.

    Args:
        reports: the reports of one measurement.
        path: the file.
        when: what was measured, for the titles.

    Returns:
        The pictures that were written.
    """
    written = []
    for what, draw in (
        ("confusion", draw_confusions),
        ("pr", draw_class_curves),
        ("reliability", draw_reliability),
    ):
        picture = path.with_name(f"{path.stem}-{what}.png")
        if draw(reports, picture, when):
            written.append(picture)
    return written


def draw_confusions(reports: Sequence[Report], path: Path, when: str) -> bool:
    """Draw the first matrix of counts in the reports, if there is one.

    Args:
        reports: the reports of one measurement.
        path: the picture to write.
        when: which measurement it was, for the title.

    Returns:
        Whether there was something to draw.
    """
    for report in reports:
        for name, matrix in report.matrices.items():
            counts = np.asarray(matrix.values, np.int64).reshape(len(matrix.rows), len(matrix.columns))
            if counts.any():
                title = (
                    f"{name}, in % of each {matrix.row_label} (row); columns: {matrix.column_label}; {when}"
                )
                draw_confusion(counts, matrix.rows, matrix.columns, path, title=title)
                return True
    return False


def draw_class_curves(reports: Sequence[Report], path: Path, when: str) -> bool:
    """Draw all curves in the reports that have one line per class and are not details, if there are any;
    arguments as for ``draw_confusions``.
    """
    plots = [
        class_plot(f"{name}, {when}", curve.x_label, curve.y_label, curve.x, curve.y)
        for report in reports
        for name, curve in report.curves.items()
        if curve.y and set(curve.y) <= set(report.classes) and name not in report.details
    ]
    return _draw(plots, path)


def draw_reliability(reports: Sequence[Report], path: Path, when: str) -> bool:
    """Draw all reliability diagrams in the reports, if there are any; arguments as for ``draw_confusions``.
    A second line shows perfect calibration.
    """
    plots = [
        class_plot(
            f"{name}, {when}",
            curve.x_label,
            RIGHT,
            curve.x,
            {RIGHT: curve.y[RIGHT], "perfect calibration": curve.x}
            if np.isfinite(curve.y[RIGHT]).any()
            else {},
            with_mean=False,
        )
        for report in reports
        for name, curve in report.curves.items()
        if RIGHT in curve.y
    ]
    return _draw(plots, path)


def _draw(plots: Sequence[Plot | None], path: Path) -> bool:
    drawn = [plot for plot in plots if plot is not None]
    if drawn:
        draw_plots(drawn, path)
    return bool(drawn)
