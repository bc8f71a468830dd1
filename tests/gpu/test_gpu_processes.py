"""Two processes, each with a GPU, that share a batch by NCCL take the steps of one that sees all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.gpu_runs import TINY, distance, settings_of, weights

from toolkit.training.log import read_metrics
from toolkit.training.loop import train

TOLERANCE = 1e-3
"""How far the weights may be apart, relative to the distance that training took them: sums in another order.
"""

CASES = [
    pytest.param("tiny", "cpu", id="tiny-gloo", marks=pytest.mark.slow),
    *(
        pytest.param(name, "cuda", id=f"{name}-nccl", marks=pytest.mark.gpu(count=2))
        for name in ("tiny", "unet", "sam2")
    ),
]


def command(*words: str) -> bytes:
    """The output of ``toolkit`` in a process of its own, which starts the others."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words],
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


@pytest.mark.parametrize(("name", "device"), CASES)
def test_two_processes_train_and_measure_like_one(
    name: str, device: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """U-Net's batch norms see the whole batch, which ``SyncBatchNorm`` does. SAM 2 draws prompts at random in
    each process, so only its losses are looked at.
    """
    parent = tmp_path_factory.getbasetemp()
    # SGD, because AdamW turns the rounding of a gradient that is nearly 0 into a whole step
    settings = settings_of(name, device, parent, steps=6, optimizer="sgd", lr=0.001, eval_every=6)
    config = tmp_path / "config.yaml"
    config.write_text(settings.to_yaml(), encoding="utf-8")
    files = ("--plugin", TINY) if name == "tiny" else ()
    for devices in ("1", "2"):
        out = str(tmp_path / devices)
        command("train", "--config", str(config), *files, "--out", out, "--devices", devices)
    one, two = (read_metrics(tmp_path / devices) for devices in ("1", "2"))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    assert all(line["loss"] is not None for line in two if "loss" in line)
    if name == "sam2":
        return
    first, last = one[0], two[0]
    assert last["loss"] == pytest.approx(first["loss"], rel=1e-4)
    train(settings_of(name, device, parent, steps=1, lr=1e-12, val_split=""), tmp_path / "start")
    whole, shared = weights(tmp_path / "1"), weights(tmp_path / "2")
    covered = distance(weights(tmp_path / "start"), whole)
    assert covered > 0
    assert distance(shared, whole) <= TOLERANCE * covered
    if device == "cpu":  # a test of the training loop measures there
        return
    reports = [
        json.loads(
            command(
                *("eval", str(tmp_path / "1"), "--data", settings.data.name),
                *files,
                *("--device", device, "--devices", devices, "--json"),
            )
        )
        for devices in ("1", "2")
    ]
    assert reports[0] == reports[1]
