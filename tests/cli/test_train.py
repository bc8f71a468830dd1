"""``toolkit train``: what it prints and returns."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from toolkit.cli import main, parse
from toolkit.cli.train import closing
from toolkit.config import resolve
from toolkit.models.building import load_model
from toolkit.training.loop import TrainResult


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
    shown = capsys.readouterr()
    first, where, *commands = shown.out.splitlines()
    assert re.fullmatch(
        r"Trained 2 steps in \d s\. Best mean_iou: 0\.\d{4} at step \d, on 12 images of split val\.", first
    )
    assert where == f"The run is in {run}. Next:"
    assert [shlex.split(line)[:3] for line in commands] == [
        ["toolkit", "eval", run],
        ["toolkit", "infer", run],
    ]
    for command in commands:  # they are taken as they stand
        assert parse(shlex.split(command)[1:]).run == run
    assert main(shlex.split(commands[0])[1:]) == 0, "and this one needs nothing else"
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
    shown = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Trained 1 step in \d s\.", shown[0])
    assert not any("toolkit eval" in line for line in shown)
    assert load_model(run)[1].step == 1
    assert not (run / "best.safetensors").exists()


def result(**changes: object) -> TrainResult:
    known = {
        "run": Path("runs/my run"),
        "steps": 7,
        "finished": True,
        "best_metric": "mean_iou",
        "best": 0.5,
        "summary": "Trained 7 steps.",
        "photos": Path("my photos/images"),
    }
    return TrainResult(**(known | changes))  # type: ignore[arg-type]


def test_the_next_commands_can_be_pasted_whatever_the_names() -> None:
    settings = resolve(plugin="unet", data="masks")
    assert list(closing(result(), settings)) == [
        "Trained 7 steps.",
        "The run is in runs/my run. Next:",
        "  toolkit eval 'runs/my run' --data masks",
        "  toolkit infer 'runs/my run' 'my photos/images' --out 'runs/my run-results'",
    ]


def test_a_run_that_was_stopped_says_how_it_goes_on() -> None:
    lines = list(closing(result(finished=False, summary="Stopped."), resolve(plugin="unet", data="masks")))
    assert lines == ["Stopped.", "Go on with: toolkit train --resume --out 'runs/my run'"]
