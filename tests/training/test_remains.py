"""A first try that fails, whatever the reason, never blocks the second one: neither the same command nor a
corrected one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.kills import changes_of, killed_at, points, with_full_disk_at

from toolkit.checkpoints import LAST
from toolkit.config import RunSettings, resolve
from toolkit.errors import OutputError, ToolkitError, UsageError
from toolkit.training.log import last_step
from toolkit.training.loop import train
from toolkit.training.remains import clear, never_stepped
from toolkit.training.state import RESUME_FILE

posix = pytest.mark.skipif(os.name != "posix", reason="forks and sends SIGKILL")
FIRST: dict[str, Any] = {
    "train": {"steps": 3, "eval_every": 2, "eval_first": True, "log_every": 1, "device": "cpu", "workers": 0}
}


def settings(tiny: str, **train_settings: Any) -> RunSettings:
    return resolve(plugin=tiny, data=tiny, overrides={"train": FIRST["train"] | train_settings})


def try_again(chosen: RunSettings, run: Path) -> None:
    """What somebody does who gives the same command again, and then does what the error says."""
    try:
        train(chosen, run)
    except UsageError as error:
        if "continue it with --resume" not in str(error):
            raise
        train(chosen, run, resume=True)


def same(one: Path, other: Path) -> bool:
    expected, found = load_file(one / LAST), load_file(other / LAST)
    return all(torch.equal(value, found[key]) for key, value in expected.items())


def learned(run: Path) -> bool:
    return (run / RESUME_FILE).exists() or (run.is_dir() and last_step(run) > 0)


@pytest.mark.parametrize(
    ("name", "is_left"),
    [
        ("csv/version_0/metrics.csv", True),
        ("csv/thesis.csv", False),
        ("wandb/offline-run-20260101_120000-abc/run-abc.wandb", True),
        ("wandb/debug-internal.log", True),
        ("wandb/notes.txt", False),
        ("photos/run-1/0.png", False),
    ],
)
def test_folders_of_loggers_are_cleared_away_and_others_are_kept(
    name: str, is_left: bool, tmp_path: Path
) -> None:
    for each in ("config.yaml", "metrics.jsonl", name):
        path = tmp_path / "run" / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert never_stepped(tmp_path / "run") == is_left
    if is_left:
        clear(tmp_path / "run")
        assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.slow
@posix
def test_the_same_command_after_a_full_disk(tiny: str, tmp_path: Path) -> None:
    chosen = settings(tiny, loggers=["csv"])
    whole, run = tmp_path / "whole", tmp_path / "run"

    def fail() -> None:
        try:
            train(chosen, run)
        except OutputError as error:
            if "the disk is full" not in str(error):
                raise
        else:
            # nothing but a logger may have failed
            assert (run / LAST).is_file()

    count = changes_of(whole, lambda: train(chosen, whole))
    for point in points(count, few=5):
        shutil.rmtree(run, ignore_errors=True)
        with_full_disk_at(point, run, fail)
        try_again(chosen, run)
        assert same(whole, run), f"{point} of {count}"


@pytest.mark.slow
@posix
def test_a_corrected_command_after_a_kill_before_anything_was_learned(tiny: str, tmp_path: Path) -> None:
    chosen, corrected = settings(tiny, loggers=["csv"]), settings(tiny, lr=0.02)
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(corrected, whole)
    count, tried = changes_of(tmp_path / "count", lambda: train(chosen, tmp_path / "count")), 0
    for point in points(count, few=9):
        shutil.rmtree(run, ignore_errors=True)
        assert killed_at(point, run, lambda: train(chosen, run))
        if learned(run):
            break
        # once more while the folder is cleared, or just after that
        killed_at(1 + tried * 3 % 17, run, lambda: train(corrected, run))
        train(corrected, run)
        assert same(whole, run), f"{point} of {count}"
        tried += 1
    assert tried > 3


@pytest.mark.parametrize("loggers", [[], ["csv"]], ids=["", "csv"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"data": {"options": {"damaged": "train/0", "count": 4}}},
        {"data": {"options": {"damaged": "val/0"}}},
        {"data": {"val_split": "nowhere"}},
        {"model": {"poison": "train"}},
        {"train": {"freeze": ["nothing"]}},
        {"train": {"lr": 1e30}},
        {"weights": "missing.safetensors"},
    ],
    ids=str,
)
def test_a_corrected_command_after_an_error(
    wrong: dict[str, Any], loggers: list[str], tiny: str, tmp_path: Path
) -> None:
    run, base = tmp_path / "run", {**FIRST["train"], "loggers": loggers}
    with pytest.raises(ToolkitError):
        train(
            resolve(
                plugin=tiny,
                data=tiny,
                overrides=wrong | {"train": base | {"log_every": 3} | wrong.get("train", {})},
            ),
            run,
        )
    train(settings(tiny, loggers=loggers), run)
    assert last_step(run) == 3
