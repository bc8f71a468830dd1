from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
from rich.console import Console

from toolkit.errors import InvalidDataError
from toolkit.evaluation import Report, is_better
from toolkit.evaluation.report import Curve, Matrix

NAN = math.nan
REPORT = Report(
    "iou",
    {"mean_iou": 0.5, "pixel_accuracy": NAN},
    {"iou": [0.25, NAN]},
    ("[cat]", "dog"),
    ("dog is absent.",),
)


def test_undefined_is_null_in_json() -> None:
    assert json.loads(REPORT.to_json()) == {
        "name": "iou",
        "metrics": {"mean_iou": 0.5, "pixel_accuracy": None},
        "per_class": {"iou": [0.25, None]},
        "classes": ["[cat]", "dog"],
        "notes": ["dog is absent."],
        "lower_is_better": [],
    }


def test_the_table_has_all_metrics_classes_and_notes() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(REPORT.table())
    lines = capture.get().splitlines()
    rows = [[cell.strip() for cell in line.split("│") if cell.strip()] for line in lines if "│" in line]
    assert ["mean_iou", "0.5000"] in rows
    assert ["pixel_accuracy", "–"] in rows
    assert ["[cat]", "0.2500"] in rows  # brackets in a name are no markup
    assert ["dog", "–"] in rows
    assert lines[-1].strip() == "dog is absent."


def test_a_table_without_classes_has_only_the_summary() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(Report("speed", {"seconds": 1.0}).table())
    assert "seconds" in capture.get()
    assert "class" not in capture.get()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Report("iou", {}, {"iou": [0.1]}, ("a", "b")),
            "Report 'iou': iou has 1 values for 2 classes",
        ),
        (
            lambda: Report("iou", {}, {"iou": [0.1, 0.2], "dice": [0.1, 0.2, 0.3]}, ("a", "b")),
            "Report 'iou': dice has 3 values for 2 classes",
        ),
        (lambda: Report("iou", {}, {"iou": [0.1]}), "Report 'iou': iou has 1 values for 0 classes"),
        (
            lambda: Curve("recall", "precision", [0, 0.5, 1], {"cat": [1, 1, 0], "dog": [1, 0]}),
            "the line 'dog' has 2 values for 3 points",
        ),
        (lambda: Curve("recall", "precision", [], {"cat": [1]}), "the line 'cat' has 1 values for 0 points"),
    ],
)
def test_values_that_do_not_fit_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        build()
    assert message in str(caught.value)


def test_curves_are_in_json_with_null_for_what_is_undefined() -> None:
    curve = Curve("recall", "precision", [0, 1], {"cat": [1, NAN], "dog": [math.inf, 0]})
    document = json.loads(Report("coco", {"AP": 0.5}, curves={"by recall": curve}).to_json())
    assert document["curves"] == {
        "by recall": {
            "x_label": "recall",
            "y_label": "precision",
            "x": [0, 1],
            "y": {"cat": [1, None], "dog": [None, 0]},
        }
    }
    assert "curves" not in json.loads(REPORT.to_json()), "where there are none"


def test_a_matrix_is_written_and_has_to_fit_its_names() -> None:
    matrix = Matrix("true class", "predicted class", ["cat"], ["cat", "no class"], [[3, 1]])
    document = json.loads(Report("iou", {}, matrices={"confusion": matrix}).to_json())
    assert document["matrices"]["confusion"]["values"] == [[3, 1]]
    assert document["matrices"]["confusion"]["columns"] == ["cat", "no class"]
    assert "matrices" not in json.loads(REPORT.to_json())
    for values in ([[3]], [[3, 1], [0, 0]], []):
        with pytest.raises(InvalidDataError, match="a matrix of 1 rows and 2 columns"):
            Matrix("true class", "predicted class", ["cat"], ["cat", "no class"], values)


def test_infinity_is_no_json_either() -> None:
    assert json.loads(Report("a", {"x": math.inf, "y": -math.inf}).to_json())["metrics"] == {
        "x": None,
        "y": None,
    }


def test_a_report_without_lines_or_classes_is_one() -> None:
    assert Report("empty", {}).to_dict() == {
        "name": "empty",
        "metrics": {},
        "per_class": {},
        "classes": [],
        "notes": [],
        "lower_is_better": [],
    }
    assert Curve("x", "y", [], {}).y == {}


def test_reports_and_curves_are_frozen() -> None:
    for value in (REPORT, Curve("x", "y", [], {})):
        with pytest.raises(FrozenInstanceError):
            value.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("lower", "new", "old", "expected"),
    [
        (False, 0.6, 0.5, True),
        (False, 0.5, 0.5, False),
        (False, 0.4, 0.5, False),
        (True, 0.4, 0.5, True),
        (True, 0.6, 0.5, False),
        (True, 0.5, 0.5, False),
        (False, NAN, 0.0, False),
        (False, 0.0, NAN, True),
        (True, NAN, 5.0, False),
        (True, 5.0, NAN, True),
        (True, NAN, NAN, False),
    ],
)
def test_is_better(lower: bool, new: float, old: float, expected: bool) -> None:
    assert is_better(new, old, lower=lower) is expected


def test_what_is_better_lower_must_be_a_metric() -> None:
    report = Report("depth", {"mae": 0.5, "glossary_iou": 0.3}, lower_is_better=("mae",))
    assert report.to_dict()["lower_is_better"] == ["mae"]
    with pytest.raises(InvalidDataError, match="lower_is_better names rmse, but the metrics are mae"):
        Report("depth", {"mae": 0.5}, lower_is_better=("rmse",))


def test_manifests_and_the_contract_import_no_torch() -> None:
    code = "import sys, toolkit.evaluation, toolkit.evaluation.manifests; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_no_heading_and_no_value_of_a_class_is_cut(width: int) -> None:
    names = [
        f"{kind}/AP{part}" for kind in ("segm", "bbox", "boundary") for part in ("", "50", "75", "s", "m")
    ]
    classes = ("background", "a", "a class with a rather long name")
    per_class = {name: [0.1234 + 0.01 * i, 1.0, math.nan] for i, name in enumerate(names)}
    report = Report("coco", {"AP": 0.5}, per_class, classes)
    console = Console(file=io.StringIO(), width=width)
    console.print(report.table())
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    assert max(len(line) for line in printed.splitlines()) <= width
    for index, name in enumerate(names):
        assert f" {name} " in printed
        assert f" {0.1234 + 0.01 * index:.4f} " in printed
    tables = printed.count("background")
    assert tables == 1 if width == 300 else tables > 1
