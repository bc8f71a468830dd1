"""Validation by windows while training measures what `toolkit eval --window` measures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support import seams

from toolkit import registry
from toolkit.checkpoints import read_manifest
from toolkit.cli import main
from toolkit.config import resolve
from toolkit.errors import UsageError
from toolkit.evaluation.requests import Computing
from toolkit.evaluation.runs import evaluate_run
from toolkit.models.sliding_window import Tiling
from toolkit.training.log import read_metrics
from toolkit.training.loop import train

PLUGINS = str(Path(seams.__file__))
FIXED = ("train.device=cpu", "train.workers=0", "train.batch_size=2", "train.eval_every=1")


def settings(plugin: str, data: str, folder: Path, *words: str) -> Any:
    registry.add_path(PLUGINS)
    where = [f"data.dir={folder}", "data.train_split=val", "data.val_split=val", "augment=[]"]
    return resolve(plugin=plugin, data=data, overrides=[*where, *FIXED, *words])


def validated(run: Path) -> dict[str, float]:
    """The figures of the last validation."""
    line = [line for line in read_metrics(run) if "val/loss" in line][-1]
    found = {name.removeprefix("val/"): value for name, value in line.items() if name.startswith("val/")}
    return {name: math.nan if value is None else float(value) for name, value in found.items()}


def measured(run: Path, tiling: Tiling | None) -> dict[str, float]:
    reports = evaluate_run(run / "last.safetensors", computing=Computing(accelerator="cpu"), tiling=tiling)
    assert reports is not None
    return {name: value for report in reports for name, value in report.metrics.items()}


@pytest.mark.parametrize(("plugin", "data"), [("seams-map", "masks"), ("seams-learner", "coco")])
def test_validation_measures_what_eval_measures_with_the_same_windows(
    plugin: str, data: str, tmp_path: Path
) -> None:
    folder, run = seams.write_data(tmp_path / "data"), tmp_path / "run"
    windows = ("train.eval_window=40", "train.eval_overlap=0.5")
    train(settings(plugin, data, folder, "train.steps=1", *windows), run)
    train(settings(plugin, data, folder, "train.steps=2", *windows), run, resume=True)
    found = validated(run)
    assert len([line for line in read_metrics(run) if "val/loss" in line]) == 2
    by_windows, whole = measured(run, Tiling(40, 0.5)), measured(run, None)
    assert {name: found[name] for name in by_windows} == pytest.approx(by_windows, abs=1e-9, nan_ok=True)
    assert any(abs(whole[name] - by_windows[name]) > 1e-5 for name in whole), "windows matter here"
    manifest = read_manifest(run / "best.safetensors")
    assert manifest is not None
    assert (manifest.config["train"]["eval_window"], manifest.config["train"]["eval_overlap"]) == (40, 0.5)


def test_a_resumed_run_with_other_windows_chooses_its_best_anew(
    tmp_path: Path,
) -> None:
    folder, run = seams.write_data(tmp_path / "data"), tmp_path / "run"
    train(settings("seams-map", "masks", folder, "train.steps=1"), run)
    train(settings("seams-map", "masks", folder, "train.steps=2"), run, resume=True)
    assert "is selected again" not in (run / "train.log").read_text()
    changed = settings("seams-map", "masks", folder, "train.steps=3", "train.eval_window=64")
    result = train(changed, run, resume=True)
    assert (
        "The metrics have changed, so the best checkpoint is selected again"
        in (run / "train.log").read_text()
    )
    assert result.best == pytest.approx(measured(run, Tiling(64))["mean_iou"], abs=1e-9)


def test_windows_that_a_model_cannot_use_are_refused_before_the_first_step(tiny: str, tmp_path: Path) -> None:
    words = [*FIXED, "train.eval_window=8"]
    with pytest.raises(
        UsageError, match=r"train\.eval_window: this model only predicts whole images\. Hint: leave out train"
    ):
        train(resolve(plugin=tiny, data=tiny, overrides=words), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_eval_and_infer_say_when_they_predict_otherwise_than_training_validated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = seams.write_data(tmp_path / "data", images=1), tmp_path / "run"
    words = "train.steps=1", "train.eval_window=64", "train.report=false"
    train(settings("seams-map", "masks", folder, *words), run)
    expected = "was validated in windows of 64 pixels that overlap by 0.25 while it trained"
    caplog.set_level("INFO", "toolkit")
    measured(run, Tiling(64))
    assert expected not in caplog.text
    measured(run, None)
    assert f"{expected}, and now predicts whole images" in caplog.text
    assert "--window 64 --overlap 0.25" in caplog.text
    for more, said in ((["--window", "64"], False), (["--window", "50"], True)):
        out = tmp_path / f"out{more[-1]}"
        command = ["infer", str(run), str(folder / "images"), "--out", str(out), "--device", "cpu"]
        assert main([*command, "--plugin", PLUGINS, *more]) == 0
        assert (expected in " ".join(capsys.readouterr().err.split())) == said
    assert json.loads((tmp_path / "out50" / "about.json").read_text())["options"]["window"] == 50
