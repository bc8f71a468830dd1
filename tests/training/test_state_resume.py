"""The kill test: a run that is killed at any step and resumed ends with the weights of one that never was,
bit for bit.
"""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.commands import Command, train_words

from toolkit.training.log import read_metrics

STEPS = 60
SETTINGS = [
    f"train.steps={STEPS}",
    "train.checkpoint_every=7",
    "train.eval_every=10",
    "train.log_every=1",
    "train.ema=0.9",
    "train.warmup_steps=5",
    "train.workers=1",
    "train.device=cpu",
    "model.dropout=0.3",
    "augment=[{name: flip}, {name: crop, size: [12, 12]}]",
]


def start(tiny: str, run: Path, *words: str) -> Command:
    return Command(*train_words(tiny, run, *words))


def finish(process: Command) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def kill_after(process: Command, run: Path, step: int) -> None:
    """SIGKILL as soon as ``step`` stands in the run's metrics."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        written = (run / "metrics.jsonl").read_text() if (run / "metrics.jsonl").exists() else ""
        lines = written.rpartition("\n")[0].splitlines()  # without one that is being written
        if lines and json.loads(lines[-1])["step"] >= step:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_and_resumed_equals_never_killed(tiny: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference = start(tiny, whole, *SETTINGS)
    chance = random.Random(time.time_ns())
    points = sorted(chance.sample(range(1, STEPS - 12), 3))
    print("kill points:", points)  # shown when the test fails
    kill_after(start(tiny, killed, *SETTINGS), killed, points[0])
    for point in points[1:]:
        kill_after(start(tiny, killed, "--resume"), killed, point)
    finish(start(tiny, killed, "--resume"))
    finish(reference)

    for name in ("last.safetensors", "best.safetensors"):
        expected, got = load_file(whole / name), load_file(killed / name)
        assert expected.keys() == got.keys()
        for key, value in expected.items():
            assert torch.equal(value, got[key]), f"{name}: {key}"
    states = [torch.load(run / "resume.pt", weights_only=True) for run in (whole, killed)]
    assert states[0]["progress"] == states[1]["progress"]
    moments = [state["optimizer"]["state"] for state in states]
    assert all(torch.equal(moments[0][i]["exp_avg"], moments[1][i]["exp_avg"]) for i in moments[0])

    expected_lines, got_lines = read_metrics(whole), read_metrics(killed)
    assert [line["step"] for line in got_lines] == [line["step"] for line in expected_lines], (
        "no step is logged twice or lost"
    )
    assert [line.get("loss") for line in got_lines] == [line.get("loss") for line in expected_lines]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_interrupt_saves_the_step_in_hand(tiny: str, tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "run"
    process = start(
        tiny, run, *SETTINGS, "train.steps=100000", "train.checkpoint_every=100000", "train.eval_every=100000"
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size
    ):
        time.sleep(0.01)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in output, errors
    state = torch.load(run / "resume.pt", weights_only=True)
    assert state["progress"]["step"] == read_metrics(run)[-1]["step"] > 0
