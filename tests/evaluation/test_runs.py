"""`toolkit eval`: of runs and of predictions that anyone has made."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from toolkit import registry
from toolkit.checkpoints import CheckpointManifest, save_checkpoint
from toolkit.cli import main
from toolkit.config import resolve
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.errors import DataError, UsageError
from toolkit.evaluation.requests import Computing, DataChoice
from toolkit.evaluation.runs import evaluate_predictions, evaluate_run
from toolkit.formats.predictions import PredictionFiles
from toolkit.training.loop import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the plugin ``tiny`` on ``squares``."""
    tiny = str(Path(__file__).resolve().parents[1] / "support" / "tiny.py")
    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(
        resolve(plugin=tiny, data=tiny, overrides=["train.steps=30", "train.workers=0", "train.device=cpu"]),
        run,
    )
    return run


@pytest.fixture
def squares(tiny: str) -> Dataset:
    return open_dataset(registry.named(registry.datasets(), tiny, by_user=True), None, "val")


def write_truth(dataset: Dataset, folder: Path) -> None:
    """A perfect model's label images."""
    for i in range(len(dataset)):
        sample = dataset[i]
        path = folder / f"{sample.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert sample.label_map is not None
        cv2.imwrite(str(path), sample.label_map.numpy())


def test_json_is_one_object_and_nothing_else(
    trained: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "eval",
                str(trained),
                "--data",
                "squares",
                "--plugin",
                tiny,
                "--json",
                "--workers",
                "0",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["metrics", "reports"]
    assert set(printed["metrics"]) >= {
        "mean_iou",
        "pixel_accuracy",
        "mean_dice",
        "mean_class_accuracy",
        "frequency_weighted_iou",
    }
    kept = json.loads((trained / "eval-squares-val.json").read_text())
    assert kept == printed["reports"]
    assert kept[0]["metrics"] == printed["metrics"]
    assert (trained / "eval-squares-val-confusion.png").stat().st_size > 100
    assert not (trained / "eval-squares-val-pr.png").exists()


def test_the_table_has_a_row_for_each_class(
    trained: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "eval",
                str(trained),
                "--data",
                "squares",
                "--plugin",
                tiny,
                "--workers",
                "0",
                "--device",
                "cpu",
                "--split",
                "train",
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    for expected in ("mean_iou", "ground", "square", "dice"):
        assert expected in shown


def test_the_figures_are_those_of_training(trained: Path, tiny: str) -> None:
    registry.add_path(tiny)
    (report,) = evaluate_run(trained, DataChoice("squares"), Computing(accelerator="cpu")) or []
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    best = max(line["val/mean_iou"] for line in lines if "val/mean_iou" in line)
    assert report.metrics["mean_iou"] == pytest.approx(best)


def test_predictions_of_a_run_measure_like_the_run(
    trained: Path, tiny: str, squares: Dataset, tmp_path: Path
) -> None:
    """infer -> label images -> eval --predictions comes to the same figures as eval RUN, from the folder and
    from the JSON file.
    """
    photos, results = tmp_path / "photos", tmp_path / "results"
    for i in range(len(squares)):
        sample = squares[i]
        path = photos / f"{sample.id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()[:, :, ::-1]))
    assert main(["infer", str(trained), str(photos), "--out", str(results), "--plugin", tiny]) == 0
    (expected,) = evaluate_run(trained, DataChoice("squares"), Computing(accelerator="cpu")) or []
    for path in (results, results / "labels", results / "predictions.json"):
        (report,) = evaluate_predictions(path, data="squares")
        assert dict(report.metrics) == pytest.approx(dict(expected.metrics))


def test_perfect_predictions_score_one(
    tiny: str, squares: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_truth(squares, tmp_path)
    assert main(["eval", "--predictions", str(tmp_path), "--data", tiny, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["mean_iou"] == 1


def test_names_without_the_subfolders_are_found_too(squares: Dataset, tmp_path: Path) -> None:
    write_truth(squares, tmp_path)
    flat = PredictionFiles(tmp_path / "val", squares.classes)
    flat.require(squares.ids)
    assert torch.equal(flat.read("val/3", (16, 16)).label_map, squares[3].label_map)  # type: ignore[arg-type]


def test_missing_predictions_are_counted_and_named(tiny: str, squares: Dataset, tmp_path: Path) -> None:
    write_truth(squares, tmp_path)
    for i in range(7):
        (tmp_path / "val" / f"{i}.png").unlink()
    with pytest.raises(
        DataError, match=r"7 of 12 images have no prediction in .*: val/0, val/1, val/2, val/3, val/4, …"
    ):
        evaluate_predictions(tmp_path, data=tiny)


def test_predictions_of_another_size_are_named(tiny: str, squares: Dataset, tmp_path: Path) -> None:
    write_truth(squares, tmp_path)
    cv2.imwrite(str(tmp_path / "val" / "2.png"), np.zeros((16, 17), np.uint8))
    with pytest.raises(
        DataError, match=r"2\.png is \[16, 17\] \(height, width\), but the image val/2 is \[16, 16\]"
    ):
        evaluate_predictions(tmp_path, data=tiny)


def test_usage_faults(trained: Path, tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--data", "shapes"]) == 2
    assert "either RUN, the folder of a run, or --predictions" in capsys.readouterr().err
    assert main(["eval", str(trained), "--data", "squares", "--plugin", tiny, "train.steps=3"]) == 2
    assert "settings of train have no effect here" in capsys.readouterr().err
    assert main(["eval", str(trained), "--data", "shapes", "--plugin", tiny]) == 1
    assert (
        "cannot be evaluated on this dataset, because the classes differ: only the model has ground"
        in capsys.readouterr().err
    )
    with pytest.raises(UsageError, match="has no split 'tset'"):
        evaluate_predictions(trained, data=tiny, split="tset")


def test_a_run_is_measured_on_its_own_data_and_says_on_which(
    trained: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", str(trained), "--plugin", tiny]
    assert main(command) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"{trained} on split val of squares (to change: --data, --split)"
    assert rest
    assert main([*command, "--split", "train"]) == 0
    assert " on split train of squares (to change: --data)" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert main([*command, "--data", tiny, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == own
    assert main(["eval", "--predictions", str(trained)]) == 2
    assert "Hint: add --data NAME" in capsys.readouterr().err


def test_a_checkpoint_that_does_not_say_its_data(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = CheckpointManifest("tiny", "semantic", ("ground", "square"))
    save_checkpoint(tmp_path / "best.safetensors", {}, manifest)
    assert main(["eval", str(tmp_path), "--plugin", tiny]) == 2
    assert "does not say which data it was trained on. Hint: add --data NAME" in capsys.readouterr().err


def test_conventions_are_switched_by_settings(
    tiny: str, squares: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_truth(squares, tmp_path)
    command = ["eval", "--predictions", str(tmp_path), "--data", tiny, "--json"]
    assert main([*command, "evaluators.iou.void=false_positive"]) == 0
    assert main([*command, "evaluators.iou.void=sometimes"]) == 2
    assert "evaluators.iou" in capsys.readouterr().err
