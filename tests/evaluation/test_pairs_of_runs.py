"""``toolkit.evaluate_panoptic``: which data, which evaluators, which classes are things."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console
from support.pair import Cards, write_runs

import toolkit
from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, read_checkpoint, save_checkpoint
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.pairs import evaluate_panoptic, side_by_side
from toolkit.evaluation.report import Report

PAIR = str(Path(__file__).resolve().parents[1] / "support" / "pair.py")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    registry.add_path(PAIR)
    return write_runs(tmp_path / "runs")


def again(run: Path, **changes: object) -> None:
    """Write a run's checkpoint again with changes in its manifest."""
    tensors, manifest = read_checkpoint(run / "best.safetensors")
    assert manifest is not None
    fields = {name: getattr(manifest, name) for name in ("plugin", "task", "classes", "palette", "config")}
    save_checkpoint(run / "best.safetensors", tensors, CheckpointManifest(**(fields | changes)))


def test_an_open_dataset_and_a_named_one_are_measured_alike(runs: tuple[Path, Path]) -> None:
    assert toolkit.evaluate_panoptic is evaluate_panoptic
    options = {"stuff_area": 30}
    named = evaluate_panoptic(*runs, settings=options, device="cpu", progress=False)
    given = evaluate_panoptic(*runs, data=Cards("val"), settings=options, device="cpu", progress=False)
    assert named.metrics == pytest.approx(given.metrics, nan_ok=True)
    assert [report.name for report in named] == ["pq", "iou", "coco"]


def test_runs_of_different_data_need_a_name(runs: tuple[Path, Path]) -> None:
    again(runs[1], config={"data": {"name": "coco"}})
    with pytest.raises(
        UsageError, match=r"different datasets: .* on cards, .* on coco\. Hint: choose one .* --data"
    ):
        evaluate_panoptic(*runs, progress=False)


def test_other_classes_are_refused(runs: tuple[Path, Path]) -> None:
    again(runs[1], classes=("mug", "box"))
    with pytest.raises(DataError, match="only the model has mug"):
        evaluate_panoptic(*runs, progress=False)


def test_one_table_has_the_first_figures_of_all() -> None:
    classes = ("sky", "[red]cup")
    reports = [
        Report("pq", {"pq": 0.5}, {"pq": [1.0, 0.0], "sq": [1.0, 1.0]}, classes),
        Report("iou", {"mean_iou": math.nan}, {"iou": [0.25, math.nan]}, classes),
        Report("other", {"x": 1.0}),
    ]
    out = io.StringIO()
    Console(file=out, width=80).print(side_by_side(reports))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines()]
    assert ["all", "0.5000", "–"] in lines
    assert ["sky", "1.0000", "0.2500"] in lines
    assert ["[red]cup", "0.0000", "–"] in lines
