"""The pictures per class that a run leaves: of which reports, and of which validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolkit.config import resolve
from toolkit.evaluation.calibration import Bins
from toolkit.evaluation.class_pictures import draw_class_curves, draw_confusions, draw_reliability
from toolkit.evaluation.report import Curve, Matrix, Report
from toolkit.training import pictures
from toolkit.training.loop import train
from toolkit.training.pictures import CLASS_CURVES, CONFUSION

MATRIX = Matrix("true class", "predicted class", ["a", "b"], ["a", "b"], [[3, 1], [0, 2]])
EMPTY = Matrix("true class", "predicted class", ["a"], ["a"], [[0]])
PER_CLASS = Curve("recall", "precision", [0.0, 1.0], {"a": [1.0, 0.5], "b": [0.2, 0.1]})
BY_THRESHOLD = Curve("recall", "precision", [0.0, 1.0], {"IoU 0.50": [1.0, 0.5]})
HONEST = Bins.of(np.array([0.2, 0.9]), np.array([False, True]), 4).curve("detections")
UNDEFINED = Curve("recall", "precision", [0.0], {"a": [float("nan")]})


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (Report("r", {}, classes=("a", "b"), matrices={"confusion": MATRIX}), {CONFUSION}),
        (Report("r", {}, classes=("a", "b"), curves={"PR50": PER_CLASS}), {CLASS_CURVES}),
        (Report("r", {}, classes=("a", "b"), curves={"PR": BY_THRESHOLD}), set()),
        (Report("r", {}, classes=("a",), curves={"PR": UNDEFINED}, matrices={"c": EMPTY}), set()),
        (Report("r", {}), set()),
        (Report("r", {}, classes=("a", "b"), curves={"PR50": PER_CLASS}, details=("PR50",)), set()),
        (Report("r", {}, curves={"bbox/reliability": HONEST}), {"reliability.png"}),
        (Report("r", {}, curves={"reliability": Bins.empty(4).curve("pixels")}), set()),
    ],
)
def test_what_a_report_has_is_drawn(report: Report, expected: set[str], tmp_path: Path) -> None:
    reports = [Report("other", {}), report]
    draw_confusions(reports, tmp_path / CONFUSION, "step 3")
    draw_class_curves(reports, tmp_path / CLASS_CURVES, "step 3")
    draw_reliability(reports, tmp_path / "reliability.png", "step 3")
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_a_run_leaves_the_confusion_of_its_best_validation(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(
        pictures, "draw_confusions", lambda reports, folder, when: drawn.append((reports, when))
    )
    words = ["train.steps=6", "train.eval_every=2", "train.device=cpu", "train.lr=0.03"]
    result = train(resolve(plugin=tiny, data=tiny, overrides=words), tmp_path / "run")
    (report,), when = drawn[-1]
    assert when == f"step {result.best_step}"
    assert report.metrics["mean_iou"] == result.best
    matrix = report.matrices["confusion"]
    assert matrix.rows == ["ground", "square", "no class"]
    assert sum(map(sum, matrix.values)) == 12 * 256, "all pixels of the split"


def test_the_reports_of_a_run_give_pictures(tiny: str, tmp_path: Path) -> None:
    words = ["train.steps=1", "train.device=cpu"]
    train(resolve(plugin=tiny, data=tiny, overrides=words), tmp_path / "semantic")
    assert (tmp_path / "semantic" / CONFUSION).stat().st_size < 50_000
    assert not (tmp_path / "semantic" / CLASS_CURVES).exists()
