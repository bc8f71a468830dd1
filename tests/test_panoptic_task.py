"""A plugin of the task panoptic trains on objects as segments, is measured, compared and drawn; and the core
knows the task by its manifest alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from toolkit import registry
from toolkit.checkpoints import read_manifest
from toolkit.cli import main
from toolkit.evaluation.compare import compare_runs
from toolkit.testing import MODEL_CHECKS, ModelCase
from toolkit.training.log import read_metrics

NET = str(Path(__file__).resolve().parent / "support" / "segments_net.py")
SMALL = ["size=32", "data.options.train=40", "data.options.val=12", "max_shapes=2", "noise=0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panoptic") / "run"
    words = ["train", "--plugin", NET, "--data", "shapes", "--out", str(folder), "train.device=cpu", *SMALL]
    assert main([*words, "augment=[{name: flip}]"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _known() -> None:
    registry.add_path(NET)


def test_it_learns_and_keeps_the_best_panoptic_quality(run: Path) -> None:
    values = [line["val/pq"] or 0.0 for line in read_metrics(run) if "val/pq" in line]
    manifest = read_manifest(run / "best.safetensors")
    assert manifest is not None
    assert manifest.task == "panoptic"
    assert manifest.metrics["pq"] == max(values)
    assert max(values) > 0.15
    assert (run / "val-predictions.jpg").is_file()


def test_it_is_measured_and_compared_with_intervals(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--json", "--device", "cpu", "--workers", "0", "--plugin", NET]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    manifest = read_manifest(run / "best.safetensors")
    assert manifest is not None
    assert metrics["pq"] == pytest.approx(manifest.metrics["pq"])


def test_it_infers_and_writes_what_coco_reads(run: Path, tmp_path: Path) -> None:
    assert main(["data", "export", "shapes", "--out", str(tmp_path / "data"), "--limit", "2", "size=32"]) == 0
    words = ["infer", str(run), str(tmp_path / "data" / "images"), "--out", str(tmp_path / "out")]
    assert main([*words, "--plugin", NET, "--device", "cpu"]) == 0
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert len(document["annotations"]) == len(document["images"]) == 6
    overlay = next((tmp_path / "out" / "overlays").rglob("*.jpg"))
    assert cv2.imread(str(overlay)).shape == (32, 32, 3)


def test_runs_are_compared_on_panoptic_data(run: Path, tmp_path: Path) -> None:
    from panoptic_cases import write_shapes

    write_shapes(tmp_path, size=32, train=2, val=8)
    words = {"data": "coco-panoptic", "data_dir": str(tmp_path), "split": "val", "accelerator": "cpu"}
    runs = [run, run / "last.safetensors"]
    comparison = compare_runs(runs, **words, resamples=20, memory=False)  # type: ignore[arg-type]
    first, second = comparison.runs
    assert first.figures["pq"] > 0
    difference = second.differences["pq"]
    assert difference.low <= difference.value <= difference.high


CHECKS = (
    "predictions_fit_the_samples",
    "batch_equals_singles",
    "predicting_is_repeatable",
    "one_class",
    "missing_labels_are_named",
    "save_and_load",
    "rows_follow_class_names",
)


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_for_plugins_look_at_segments(name: str) -> None:
    """Those that compare predictions, and that try samples of one class or without labels."""
    (check,) = [check for check in MODEL_CHECKS if check.__name__ == name]
    check(ModelCase(NET))
