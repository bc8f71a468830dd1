"""Training on two nodes of two processes each, as torchrun starts them; here both nodes are this machine, at
first as one, then with networks and ``/tmp`` of their own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.commands import run_command, train_words
from support.machines import Machine, two_machines

pytestmark = pytest.mark.slow
FEW = [
    "train.steps=40",
    "train.checkpoint_every=4",
    "train.batch_size=4",
    "train.device=cpu",
    "train.workers=0",
]
NODES = ["--devices", "2", "--num-nodes", "2"]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def begin(*words: str) -> list[subprocess.Popen[str]]:
    """The command on both nodes."""
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--nnodes", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *meeting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    return [
        subprocess.Popen([*command, "-m", "toolkit", *words], start_new_session=True, **options)  # type: ignore[call-overload]
        for _ in range(2)
    ]


def end(nodes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit codes and what was said, when all have ended."""
    said = [node.communicate(timeout=180) for node in nodes]
    return [(node.returncode, *each) for node, each in zip(nodes, said, strict=True)]


def workers(node: subprocess.Popen[str]) -> list[int]:
    found = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    return [int(word) for word in found if b"toolkit" in Path(f"/proc/{word}/cmdline").read_bytes()]


def test_two_nodes_train_one_run_and_a_dead_worker_costs_only_steps(tiny: str, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for code, _, error in end(begin(*train_words(tiny, straight, *FEW, *NODES))):
        assert code == 0, error
    assert len(list(straight.glob("events.*"))) == 1
    nodes = begin(*train_words(tiny, killed, *FEW, *NODES))
    limit = time.monotonic() + 120
    while not (killed / "resume.pt").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(workers(nodes[1])[0], signal.SIGKILL)
    said = end(nodes)
    assert all(code != 0 for code, _, _ in said)
    assert any("SIGKILL" in error for _, _, error in said), said
    resume = ["train", "--resume", str(killed), "--plugin", tiny, "--data", tiny]
    for code, _, error in end(begin(*resume)):
        assert code == 0, error
    before, after = (load_file(run / "last.safetensors") for run in (straight, killed))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    with two_machines("toolkit-t", "10.77.32", [tmp_path]) as both:
        yield both


def begin_on(machines: tuple[Machine, Machine], *words: str) -> list[subprocess.Popen[str]]:
    """The command on both machines, which meet at the first one."""
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{machines[0].address}:29511", "--nnodes", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *meeting]
    started = []
    for machine in machines:
        own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": machine.link, "TMPDIR": "/tmp"}
        words_here = [*command, "--local-addr", machine.address, "-m", "toolkit", *words]
        started.append(machine.begin(*words_here, environment={**os.environ, **own}, output=subprocess.PIPE))
    return started


def figures(run: Path, package: str) -> dict[str, float]:
    done = run_command("eval", str(run), "--plugin", package, "--data", package, "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)["metrics"]
    return found


def test_a_step_of_two_machines_has_the_gradients_of_one_process(
    tiny: str, tmp_path: Path, machines: tuple[Machine, Machine]
) -> None:
    """A step of SGD without momentum is the gradient of the batch times the learning rate."""
    plain = ["train.optimizer=sgd", "train.momentum=0", "train.weight_decay=0", *FEW, "train.steps=1"]
    before, alone, both = (tmp_path / name for name in ("before", "alone", "both"))
    for run, rate in ((before, "1e-12"), (alone, "0.5")):
        assert run_command(*train_words(tiny, run, *plain, f"train.lr={rate}")).returncode == 0
    for code, _, error in end(begin_on(machines, *train_words(tiny, both, *plain, *NODES, "train.lr=0.5"))):
        assert code == 0, error
    start, one, four = (load_file(run / "last.safetensors") for run in (before, alone, both))
    for name, value in one.items():
        gradient = start[name] - value
        assert gradient.abs().max() > 1e-4, name
        torch.testing.assert_close(start[name] - four[name], gradient, rtol=1e-4, atol=1e-6)


def test_two_machines_train_what_one_process_trains(
    tiny: str, tmp_path: Path, machines: tuple[Machine, Machine]
) -> None:
    alone, both, killed = (tmp_path / name for name in ("alone", "both", "killed"))
    done = run_command(*train_words(tiny, alone, *FEW))
    assert done.returncode == 0, done.stderr
    for code, _, error in end(begin_on(machines, *train_words(tiny, both, *FEW, *NODES))):
        assert code == 0, error
    one, four = (load_file(run / "last.safetensors") for run in (alone, both))
    assert one.keys() == four.keys()
    for name in one:
        torch.testing.assert_close(four[name], one[name], rtol=1e-4, atol=1e-5)
    assert figures(both, tiny) == pytest.approx(figures(alone, tiny), abs=1e-6)
    nodes = begin_on(machines, *train_words(tiny, killed, *FEW, *NODES))
    limit = time.monotonic() + 120
    while not (killed / "resume.pt").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    victims = [each for each in machines[1].pids() if b"-m\0toolkit\0" in cmdline(each)]
    os.kill(victims[-1], signal.SIGKILL)
    said = end(nodes)
    assert all(code != 0 for code, _, _ in said)
    assert any("SIGKILL" in error for _, _, error in said), said
    resume = ["train", "--resume", str(killed), "--plugin", tiny, "--data", tiny]
    for code, _, error in end(begin_on(machines, *resume)):
        assert code == 0, error
    after = load_file(killed / "last.safetensors")
    assert all(torch.equal(four[name], after[name]) for name in four)


def cmdline(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
