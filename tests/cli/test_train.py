"""``toolkit train``: what it prints and returns."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from toolkit import registry
from toolkit.cli import main, parse
from toolkit.cli.train import SHORT_FORMS, closing
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


def test_short_forms_set_what_their_settings_set(tiny: str, tmp_path: Path) -> None:
    given = {
        "--weights": "none",
        "--steps": "2",
        "--lr": "0.5",
        "--batch-size": "6",
        "--workers": "0",
        "--seed": "7",
        "--device": "cpu",
        "--devices": "1",
        "--num-nodes": "1",
    }
    assert given.keys() == SHORT_FORMS.keys() - {"--epochs"}
    run = tmp_path / "run"
    words = [word for pair in given.items() for word in pair]
    assert main(["train", "--plugin", tiny, "--data", tiny, "--out", str(run), *words]) == 0
    settings = resolve(config=run / "config.yaml")
    for option, value in given.items():
        found: object = settings
        for step in SHORT_FORMS[option][0].split("."):
            found = getattr(found, step)
        assert str(found) == value, option


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "0.1", "lr=0.2"], "train.lr is given twice, as 0.2 and as '0.1'. Hint: leave one out"),
        (["--steps", "1", "--epochs", "1"], "give either steps or epochs, not both"),
        (["--steps", "many"], "train.steps: expected a whole number"),
        (
            ["--resume", "a", "--out", "b"],
            "--resume a and --out b are two different runs. Hint: leave out --out",
        ),
        (["--plugin", "unet", "plugin=deeplabv3"], "contradict each other. Hint: leave one out"),
    ],
)
def test_what_contradicts_itself(
    tiny: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start = [] if "--plugin" in words else ["--plugin", tiny]
    assert main(["train", *start, "--data", tiny, *words]) == 2
    assert message in capsys.readouterr().err


def test_the_run_behind_resume(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs" / "a"
    assert main(["train", "--plugin", tiny, "--data", tiny, "--out", str(run), "--steps", "1"]) == 0
    assert main(["train", "--resume", str(run), "--steps", "2"]) == 0
    assert main(["train", "--resume", str(run / "last.safetensors"), "--steps", "3"]) == 0
    assert main(["train", "--out", str(run), "--resume", "train.steps=4"]) == 0, "a setting is no run"
    assert main(["train", f"--resume={run}", "--out", str(run), "steps=5"]) == 0
    assert load_model(run / "last.safetensors")[1].step == 5
    capsys.readouterr()
    assert main(["train", "--resume", str(run), "--lr", "0.7"]) == 2
    assert "cannot be resumed with other settings: train.lr was" in capsys.readouterr().err


def test_a_command_with_resume_can_be_repeated(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, recipe = tmp_path / "runs" / "a", tmp_path / "recipe.yaml"
    words = ["train", "--plugin", tiny, "--data", tiny, "--out", str(run), "--resume"]
    for steps in (1, 1, 2):
        assert main([*words, "--steps", str(steps)]) == 0
        assert load_model(run / "last.safetensors")[1].step == steps
    shutil.copy(run / "config.yaml", recipe)
    again = ["train", "--config", str(recipe), "--plugin", tiny, "--data", tiny, "--out", str(tmp_path / "b")]
    for _ in range(2):
        assert main([*again, "--resume"]) == 0
    capsys.readouterr()
    assert main(["train", "--out", str(tmp_path / "c"), "--resume"]) == 2
    assert "nothing to resume" in capsys.readouterr().err
    named = ["train", "--plugin", tiny, "--data", tiny, "--resume", str(tmp_path / "c")]
    assert main(named) == 2, "a run that is named is there"
    assert "nothing to resume" in capsys.readouterr().err
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").touch()
    assert main([*words[:-2], str(tmp_path / "d"), "--resume"]) == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_a_plugin_that_has_changed_since_the_run_is_named(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = tmp_path / "tiny.py", tmp_path / "run"
    shutil.copy(tiny, file)
    assert main(["train", "--plugin", str(file), "--data", str(file), "--out", str(run), "--steps", "1"]) == 0
    text, code = file.read_text(), ["--plugin", str(file), "--data", str(file)]
    file.write_text(text.replace("dropout: float = 0.0", "drop: float = 0.0").replace("s.dropout", "s.drop"))
    registry.clear()
    capsys.readouterr()
    assert main(["train", "--resume", str(run), *code, "--steps", "2"]) == 2
    answer = capsys.readouterr().err
    assert "model.dropout: unknown key" in answer
    assert f"The plugin's file {file} has changed since this was trained. Hint: undo the change" in answer
    file.write_text(text.replace("width, 3, padding=1", "width, 5, padding=2"))
    registry.clear()
    assert main(["train", "--resume", str(run), *code, "--steps", "2"]) == 1
    answer = capsys.readouterr().err
    assert "does not fit the model that its settings make" in answer
    assert "has changed since this was trained" in answer
    file.write_text(text)
    registry.clear()
    assert main(["train", "--resume", str(run), *code, "--steps", "2"]) == 0


def test_weights_of_a_run_with_other_settings_say_which(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--plugin", tiny, "--data", tiny, "--steps", "1", "--out"]
    before, after = str(tmp_path / "a"), str(tmp_path / "b")
    assert main([*command, before, "width=5"]) == 0
    capsys.readouterr()
    assert main([*command, after, "--weights", before]) == 1
    assert capsys.readouterr().err.endswith("trained with other settings. Hint: model.width=5\n")
    assert main([*command, after, "--weights", before, "model.width=5"]) == 0


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
        "The run is in 'runs/my run'. Next:",
        "  toolkit eval 'runs/my run'",
        "  toolkit infer 'runs/my run' 'my photos/images'",
    ]


def test_a_run_that_was_stopped_says_how_it_goes_on() -> None:
    lines = list(closing(result(finished=False, summary="Stopped."), resolve(plugin="unet", data="masks")))
    assert lines == ["Stopped.", "Continue with: toolkit train --resume 'runs/my run'"]
