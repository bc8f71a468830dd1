"""``toolkit train``: what it prints and returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.config import resolve
from toolkit.models.building import load_model


def test_the_command_line_trains_and_reports(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    assert (
        main(
            [
                "train",
                "--plugin",
                tiny,
                "--data",
                tiny,
                "--out",
                run,
                "--seed",
                "3",
                "train.steps=2",
                "train.workers=0",
            ]
        )
        == 0
    )
    assert "trained 2 steps, best mean_iou" in capsys.readouterr().out
    assert resolve(config=tmp_path / "run" / "config.yaml").train.seed == 3
    assert main(["train", "--plugin", tiny, "--data", tiny, "--out", run]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert main(["train", "--plugin", tiny, "--data", tiny, "train.stepz=3"]) == 2
    assert "did you mean 'steps'" in capsys.readouterr().err


def test_without_validation_there_is_no_best(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert (
        main(
            ["train", "--plugin", tiny, "--data", tiny, "--out", str(run), "train.steps=1", "data.val_split="]
        )
        == 0
    )
    assert capsys.readouterr().out == f"trained 1 steps: {run}\n"
    assert load_model(run)[1].step == 1
    assert not (run / "best.safetensors").exists()
