"""`toolkit report`: of runs, of predictions that anyone has made, and of two runs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

import toolkit
from toolkit import registry
from toolkit.checkpoints import BEST
from toolkit.config import resolve
from toolkit.data.dataset import open_dataset
from toolkit.errors import UsageError
from toolkit.evaluation.runs import evaluate_run
from toolkit.reporting.measuring import report_predictions, report_run
from toolkit.training.loop import train

TINY = str(Path(__file__).resolve().parents[1] / "support" / "tiny.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of the plugin ``tiny`` on ``squares``, one of them hardly trained."""
    folder = tmp_path_factory.mktemp("runs")
    for steps in (20, 1):
        words = [f"train.steps={steps}", "train.workers=0", "train.device=cpu"]
        train(resolve(plugin=TINY, data=TINY, overrides=words), folder / f"tiny-{steps}")
    return sorted(folder.iterdir(), key=lambda run: -len(run.name))


def test_the_figures_are_those_of_eval_and_both_files_lie_in_the_run(runs: list[Path], tiny: str) -> None:
    registry.add_path(tiny)
    written = report_run(runs[0], accelerator="cpu")
    assert written.path == runs[0] / "report.html"
    document = json.loads((runs[0] / "report.json").read_text())
    (expected,) = evaluate_run(runs[0], accelerator="cpu") or []
    assert document["reports"][0]["metrics"] == expected.to_dict()["metrics"]
    assert document["data"]["name"] == "tiny"
    assert document["training"][0]["title"] == "loss"
    assert document["model"]["plugin"] == "tiny"
    assert document["settings"]["train"]["steps"] == 20
    low, high = document["intervals"]["mean_iou"]
    assert low <= expected.metrics["mean_iou"] <= high


def test_a_checkpoint_alone_has_a_report_beside_it(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    (tmp_path / BEST).write_bytes((runs[0] / BEST).read_bytes())
    written = report_run(tmp_path / BEST, accelerator="cpu", resamples=25)
    assert written.path == tmp_path / "report.html"
    assert written.document["training"] == []


def test_two_runs_are_compared_on_the_same_images(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    written = report_run(runs[0], compare=runs[1], out=tmp_path / "two.html", accelerator="cpu")
    reference = written.document["reference"]
    assert reference["name"] == "tiny-1"
    (first,), (second,) = (evaluate_run(run, accelerator="cpu") or [] for run in runs)
    difference = reference["differences"]["mean_iou"]
    assert reference["metrics"]["mean_iou"] == second.metrics["mean_iou"]
    assert difference["value"] == pytest.approx(first.metrics["mean_iou"] - second.metrics["mean_iou"])
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert "tiny-20 minus tiny-1" in written.path.read_text()
    own = report_run(runs[0], compare=runs[0], out=tmp_path / "own.html", accelerator="cpu", resamples=200)
    assert own.document["reference"]["differences"]["mean_iou"] == {"value": 0, "low": 0, "high": 0}


def test_predictions_of_anyone_have_a_report(tiny: str, tmp_path: Path) -> None:
    dataset = open_dataset(registry.named(registry.datasets(), tiny, by_user=True), None, "val")
    for i in range(len(dataset)):
        sample = dataset[i]
        assert sample.label_map is not None
        path = tmp_path / f"{sample.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), sample.label_map.numpy())
    written = report_predictions(tmp_path, data="squares", out=tmp_path / "perfect.html")
    assert written.document["reports"][0]["metrics"]["mean_iou"] == 1
    assert written.document["errors"]["most_telling"] == written.document["suspects"] == []
    assert written.document["settings"] == {}


def test_from_python_it_is_a_verb_like_the_others(runs: list[Path], tiny: str, tmp_path: Path) -> None:
    registry.add_path(tiny)
    out = tmp_path / "b.html"
    written = toolkit.report(
        runs[0], out=out, device="cpu", resamples=30, progress=False, settings=["evaluators.iou.void=ignore"]
    )
    assert (written.path, written.path.is_file()) == (out, True)
    for wrong in (
        {},
        {"run": runs[0], "predictions": tmp_path},
        {"predictions": tmp_path},
        {"predictions": tmp_path, "data": "squares", "compare": runs[1]},
    ):
        with pytest.raises(UsageError):
            toolkit.report(**wrong)  # type: ignore[arg-type]
