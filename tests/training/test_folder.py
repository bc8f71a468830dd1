"""The folder of a run: what may stand in the way of a new one, and what a resumed one may change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.cli import main
from toolkit.config import RunSettings, resolve
from toolkit.config.tree import read_yaml
from toolkit.errors import ConfigError, UsageError
from toolkit.runtime.locks import LOCK_FILE, locked
from toolkit.training.folder import (
    CONFIG_FILE,
    as_before,
    check_folder,
    config_of_run,
)
from toolkit.training.log import read_metrics
from toolkit.training.loop import train
from toolkit.training.state import RESUME_FILE

LEFT = (
    *(CONFIG_FILE, "metrics.jsonl", "events.out.tfevents.1700000000.host.1.0", ".toolkit-0123456789ab.part"),
    *("train.log", "results.csv", "curves.png", "val-predictions.jpg"),
)
"""What a run has written before its first step, the last of them where it was killed while writing."""


def settings(tiny: str, *words: str) -> RunSettings:
    return resolve(plugin=tiny, data=tiny, overrides=["train.device=cpu", "train.workers=0", *words])


def fill(run: Path, *names: str, config: str = "plugin: tiny\n") -> dict[str, bytes]:
    """A folder with these files; those that end in a slash are folders with a file."""
    run.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = run / name
        if name.endswith("/"):
            path.mkdir()
            path /= "inside"
        path.write_text(config if name == CONFIG_FILE else f"content of {name}")
    return content(run)


def content(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_new_folder_is_not_made_yet(tiny: str, tmp_path: Path) -> None:
    check_folder(tmp_path / "deep" / "run", settings(tiny), resume=False)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_used(tiny: str, tmp_path: Path) -> None:
    check_folder(tmp_path, settings(tiny), resume=False)
    assert tmp_path.is_dir()


def test_a_file_is_no_folder(tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        check_folder(path, settings(tiny), resume=False)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("names", [LEFT[:2], LEFT[:3], LEFT])
def test_what_a_run_left_before_its_first_step_is_cleared_away(
    tiny: str, tmp_path: Path, names: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    fill(run, *names)
    fill(tmp_path, "beside.txt")
    check_folder(run, settings(tiny), resume=False)
    assert list(run.iterdir()) == []
    assert (tmp_path / "beside.txt").is_file()


@pytest.mark.parametrize(
    "foreign",
    [
        "notes.txt",
        "config.yaml.bak",
        "old-metrics.jsonl",
        "events.out.txt",
        "photos/",
        "events.out.tfevents.7/",
        "best.safetensors",
        "last.safetensors",
        RESUME_FILE,
        "eval-shapes-val.json",
        ".hidden",
    ],
)
def test_a_folder_with_anything_else_in_it_is_never_touched(tiny: str, tmp_path: Path, foreign: str) -> None:
    before = fill(tmp_path, *LEFT, foreign)
    with pytest.raises(UsageError, match=r"exists and is not empty\. Hint: continue it with --resume, or"):
        check_folder(tmp_path, settings(tiny), resume=False)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "names",
    [
        [CONFIG_FILE],  # written by hand, for `--config`
        [LEFT[1]],
        [LEFT[2]],
        [CONFIG_FILE, LEFT[2]],
        [LEFT[1], LEFT[2]],
        [f"{CONFIG_FILE}/", LEFT[1]],
    ],
)
def test_files_that_may_be_of_something_else_are_kept(tiny: str, tmp_path: Path, names: list[str]) -> None:
    before = fill(tmp_path, *names)
    with pytest.raises(UsageError, match="exists and is not empty") as caught:
        check_folder(tmp_path, settings(tiny), resume=False)
    assert content(tmp_path) == before
    assert ("--resume" in str(caught.value)) == (CONFIG_FILE in names), "which works for runs alone"


def test_a_link_to_something_else_is_not_followed(tiny: str, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "precious.txt")
    run = tmp_path / "run"
    fill(run, *LEFT[:2])
    (run / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exists and is not empty"):
        check_folder(run, settings(tiny), resume=False)
    assert (run / "link" / "precious.txt").is_file()


@pytest.mark.parametrize("names", [(), LEFT[1:]])
def test_without_settings_there_is_nothing_to_resume(
    tiny: str, tmp_path: Path, names: tuple[str, ...]
) -> None:
    before = fill(tmp_path, *names)
    for run in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match=r"nothing to resume in .*Hint: "):
            check_folder(run, settings(tiny), resume=True)
        with pytest.raises(UsageError, match="nothing to resume"):
            config_of_run(run)
    assert content(tmp_path) == before
    assert not (tmp_path / "absent").exists()


def test_resuming_touches_nothing_and_needs_no_state(tiny: str, tmp_path: Path) -> None:
    chosen = settings(tiny)
    before = fill(tmp_path, *LEFT, "notes.txt", config=chosen.to_yaml())
    check_folder(tmp_path, chosen, resume=True)
    assert content(tmp_path) == before
    assert config_of_run(tmp_path) == tmp_path / CONFIG_FILE


@pytest.mark.parametrize(
    ("word", "was", "now"),
    [
        ("train.lr=0.5", "0.01", "0.5"),
        ("train.seed=3", "0", "3"),
        ("train.batch_size=8", "4", "8"),
        ("model.width=9", "4", "9"),
        ("data.options.count=5", "12", "5"),
        ("train.freeze=['net.0']", r"\[\]", r"\['net.0'\]"),
        ("augment=[{name: flip}]", r"\[\]", r"\[.*flip.*\]"),
    ],
)
def test_what_would_make_it_another_run_may_not_change(
    tiny: str, tmp_path: Path, word: str, was: str, now: str
) -> None:
    before = fill(tmp_path, CONFIG_FILE, config=settings(tiny).to_yaml())
    key = word.partition("=")[0]
    with pytest.raises(
        UsageError, match=rf"cannot be resumed with other settings: .*{key} was {was} and is now {now}"
    ):
        check_folder(tmp_path, settings(tiny, word), resume=True)
    assert content(tmp_path) == before


def test_of_many_changes_some_are_shown(tiny: str, tmp_path: Path) -> None:
    fill(tmp_path, CONFIG_FILE, config=settings(tiny).to_yaml())
    words = [
        f"train.{key}" for key in ("lr=1", "seed=9", "momentum=0.5", "beta2=0.5", "gamma=0.7", "ema=0.5")
    ]
    with pytest.raises(UsageError) as caught:
        check_folder(tmp_path, settings(tiny, *words), resume=True)
    assert str(caught.value).count(" was ") == 5
    assert "start a new run with another --out" in str(caught.value)


def test_another_plugin_is_another_run(tiny: str, tmp_path: Path) -> None:
    fill(tmp_path, CONFIG_FILE, config=resolve(plugin="unet", data="shapes").to_yaml())
    with pytest.raises(UsageError, match="plugin was 'unet' and is now"):
        check_folder(tmp_path, settings(tiny), resume=True)


# From the command line


def command(tiny: str, run: Path, *words: str) -> list[str]:
    """Training on four images, so that all of them are in the first batch."""
    fixed = ["train.device=cpu", "train.workers=0", "train.steps=2", "data.options.count=4"]
    return ["train", "--plugin", tiny, "--data", tiny, "--out", str(run), *fixed, *words]


def bad_sample(tiny: str, mend: bool, patch: pytest.MonkeyPatch) -> list[str]:
    return [] if mend else ["data.options.damaged=train/0"]


def nan_in_the_loss(tiny: str, mend: bool, patch: pytest.MonkeyPatch) -> list[str]:
    return [] if mend else ["model.poison=train"]


def bad_first_validation(tiny: str, mend: bool, patch: pytest.MonkeyPatch) -> list[str]:
    return ["train.eval_first=true", *([] if mend else ["data.options.damaged=val/0"])]


Fault = Callable[[str, bool, pytest.MonkeyPatch], list[str]]


@pytest.mark.parametrize("fault", [bad_sample, nan_in_the_loss, bad_first_validation])
def test_a_run_that_failed_before_its_first_step_is_no_obstacle_for_the_next_try(
    fault: Fault,
    tiny: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    for _ in range(2):  # a second failure is none either
        assert main(command(tiny, run, *fault(tiny, False, monkeypatch))) == 1
        assert "error: " in capsys.readouterr().err
        names = {path.name for path in run.iterdir()}
        assert {CONFIG_FILE, "labels.json", "metrics.jsonl", "train.log"} < names
        assert "error: " in (run / "train.log").read_text()
        assert sum(name.startswith("events.out.tfevents") for name in names) == 1
        assert len(names) == 5
    left = {path.name for path in run.iterdir() if path.name.startswith("events")}
    assert main(command(tiny, run, *fault(tiny, True, monkeypatch))) == 0
    now = {path.name for path in run.iterdir()}
    assert {"best.safetensors", "last.safetensors", RESUME_FILE} < now
    assert not left & now, "its curves are not mixed with those of the failure"
    assert [line["step"] for line in read_metrics(run) if "loss" in line] == [2]
    assert "damaged: ''" in (run / CONFIG_FILE).read_text()


def test_a_run_with_a_state_goes_on_with_resume_alone(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(command(tiny, run)) == 0
    before = content(run)
    assert main(command(tiny, run, "train.steps=4")) == 2
    assert "--resume" in capsys.readouterr().err
    assert content(run) == before
    assert main([*command(tiny, run, "train.steps=4"), "--resume"]) == 0
    assert [line["step"] for line in read_metrics(run) if "loss" in line] == [2, 4]


def test_a_validation_before_the_first_step_is_no_obstacle(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves weights that have learned nothing."""
    run = tmp_path / "run"
    words = ["train.eval_first=true", "data.options.damaged=train/0"]
    assert main(command(tiny, run, *words)) == 1
    assert "best.safetensors" in content(run)
    assert main(command(tiny, run, "train.eval_first=true")) == 0
    assert "last.safetensors" in content(run)


def test_what_was_learned_without_a_saved_state_is_not_thrown_away(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as the curve of a run that diverged before its first state."""
    run = tmp_path / "run"
    words = ["train.log_every=1", "model.poison=train/11", "data.options.count=12", "train.batch_size=1"]
    words += ["train.eval_every=12"]
    assert main(command(tiny, run, *words, "train.steps=12")) == 1
    before = content(run)
    assert RESUME_FILE not in before
    assert main(command(tiny, run)) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert content(run) == before


def test_a_run_that_is_under_way_is_left_alone(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    fill(run, *LEFT)
    before = content(run)
    with locked(run):
        for words in ([], ["--resume"]):
            assert main([*command(tiny, run), *words]) == 2
            assert "another process is writing to" in capsys.readouterr().err
    assert content(run) == before
    (run / LOCK_FILE).touch()  # as a killed process leaves it
    check_folder(run, settings(tiny), resume=False)
    assert list(run.iterdir()) == []


def test_a_foreign_folder_survives_the_command(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before: Any = fill(tmp_path / "mine", *LEFT, "thesis.tex")
    assert main(command(tiny, tmp_path / "mine")) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert content(tmp_path / "mine") == before


def test_what_settings_leave_open_is_as_the_run_was_started(tiny: str, tmp_path: Path) -> None:
    started = settings(tiny, "train.steps=77", "weights=imagenet")
    fill(tmp_path, CONFIG_FILE, config=started.to_yaml())
    left_open = settings(tiny, "train.steps=null", "weights=auto")
    again = as_before(tmp_path, left_open)
    assert (again.train.steps, again.weights) == (77, "imagenet")
    check_folder(tmp_path, again, resume=True)
    said = settings(tiny, "train.steps=88", "weights=none")
    assert as_before(tmp_path, said) == said


@pytest.mark.parametrize("wrong", ["train: [77]", "train: 77", "weights: [imagenet]", "data: shapes"])
def test_settings_that_a_run_kept_in_another_form_are_an_error(tiny: str, tmp_path: Path, wrong: str) -> None:
    fill(tmp_path, CONFIG_FILE, config=f"plugin: tiny\n{wrong}\n")
    with pytest.raises(ConfigError, match=rf"{CONFIG_FILE}.*{wrong.partition(':')[0]}: expected"):
        as_before(tmp_path, settings(tiny, "train.steps=null"))


def test_the_settings_that_a_run_kept_are_read_once(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(tiny, "train.steps=1", "train.workers=0", "train.device=cpu")
    train(given, tmp_path / "run")
    reads: list[Path] = []

    def counting(path: Path) -> Any:
        reads.append(path)
        return read_yaml(path)

    monkeypatch.setattr("toolkit.training.folder.read_yaml", counting)
    assert train(given, tmp_path / "run", resume=True).finished
    assert reads == [tmp_path / "run" / CONFIG_FILE]
