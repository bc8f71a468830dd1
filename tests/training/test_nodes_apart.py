"""Training on two machines of two processes each, with networks and ``/tmp`` of their own, as torchrun and
SLURM start them. The second machine may only read the folder of the runs. Needs root and Linux.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.commands import run_command, train_words
from support.machines import Machine, Process, two_machines, wait_until
from support.nodes import FEW, NODES

pytestmark = pytest.mark.slow
PORT = "29511"
SLEEP = "    time.sleep(0.1)\n"


@dataclass
class Started:
    """What runs on the machines, and the files with what it says."""

    processes: list[Process] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def end(self) -> list[tuple[int, str]]:
        """Exit codes and what was said, when all have ended."""
        codes = [process.wait(timeout=120) for process in self.processes]
        return list(zip(codes, (path.read_text() for path in self.outputs), strict=True))

    def succeed(self) -> str:
        """What all have said, when they have ended well."""
        ends = self.end()
        assert [code for code, _ in ends] == [0] * len(ends), ends
        return "".join(said for _, said in ends)


class Nodes:
    """The two machines.

    Args:
        machines: both.
        folder: that they share.
    """

    def __init__(self, machines: tuple[Machine, Machine], folder: Path) -> None:
        self.machines, self.folder = machines, folder
        self._count = 0

    def torchrun(self, *words: str, restarts: int = 0) -> Started:
        """The command on both, which meet at the first one. Here, the name of each machine stands for another
        address, so the first one must be told that it is the first, and gloo which network to use.
        """
        started = Started()
        for place, machine in enumerate(self.machines):
            command = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nnodes",
                "2",
                "--nproc-per-node",
                "2",
            ]
            command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{self.machines[0].address}:{PORT}"]
            command += ["--rdzv-conf", f"is_host={int(place == 0)}", "--local-addr", machine.address]
            command += ["--max-restarts", str(restarts), "-m", "toolkit", *words]
            self._begin(started, machine, command, {})
        return started

    def srun(self, *words: str) -> Started:
        """Four processes with the variables that SLURM's ``srun`` sets for each."""
        common = {"SLURM_JOB_ID": "14511", "SLURM_JOB_NAME": "unet-msrc", "SLURM_NNODES": "2"}
        common |= dict.fromkeys(("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"), "4")
        common |= {"SLURM_NTASKS_PER_NODE": "2"}
        common["SLURM_NODELIST"] = self.machines[0].address.removesuffix("1") + "[1-2]"
        started = Started()
        for rank in range(4):
            node, place = divmod(rank, 2)
            own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(place), "SLURM_NODEID": str(node)}
            self._begin(started, self.machines[node], [sys.executable, "-m", "toolkit", *words], common | own)
        return started

    def _begin(
        self, started: Started, machine: Machine, command: Sequence[str], variables: dict[str, str]
    ) -> None:
        self._count += 1
        output = self.folder / f"output-{self._count}.txt"
        own = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": machine.link, "TMPDIR": "/tmp"}
        # Otherwise a process that has been restarted may read the address of one that is gone.
        own["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        with output.open("w") as file:
            environment = {**os.environ, **own, **variables}
            started.processes.append(machine.begin(*command, environment=environment, output=file.fileno()))
        started.outputs.append(output)

    def kill_one(self) -> int:
        """Kill a process that trains on the second machine; returns its id."""
        victims = [each for each in self.machines[1].pids() if is_training(each)]
        assert len(victims) == 2
        os.kill(victims[-1], signal.SIGKILL)
        return victims[-1]


def is_training(process: int) -> bool:
    """Whether it is a process of the run, and not torchrun."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"toolkit" in words and b"torch.distributed.run" not in words


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    with two_machines("toolkit-t", "10.77.32", [folder]) as machines:
        only_read = machines[1].begin(
            "mount", "-o", "remount,ro,bind", str(folder), environment={**os.environ}
        )
        assert only_read.wait(timeout=10) == 0
        touched = machines[1].begin("touch", str(folder / "new"), environment={**os.environ})
        assert touched.wait(timeout=10) != 0
        yield Nodes(machines, folder)


@pytest.fixture(scope="module")
def slow(tiny: str, nodes: Nodes) -> str:
    """The plugin and the dataset, with steps that last long enough to be interrupted."""
    text = Path(tiny).read_text()
    lines = text.replace("import torch\n", "import time\n\nimport torch\n", 1).splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if 'return {"cross_entropy"' in line)
    path = nodes.folder / "tiny.py"
    path.write_text("".join([*lines[:place], "    " + SLEEP, *lines[place:]]))
    return str(path)


@pytest.fixture(scope="module")
def straight(slow: str, nodes: Nodes) -> Path:
    """A run that nothing interrupted."""
    run = nodes.folder / "straight"
    said = nodes.torchrun(*train_words(slow, run, *FEW, *NODES)).succeed()
    assert said.count("Trained 40 steps") == 1
    assert len(list(run.glob("events.*"))) == 1
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last.safetensors")


def check_equal(run: Path, other: Path) -> None:
    """Bit for bit."""
    first, second = weights(run), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def saved(run: Path) -> int:
    """When the state was written last; 0 for never."""
    path = run / "resume.pt"
    return path.stat().st_mtime_ns if path.exists() else 0


def test_a_step_has_the_gradients_of_one_process(tiny: str, tmp_path: Path, nodes: Nodes) -> None:
    """A step of SGD without momentum is the gradient of the batch times the learning rate."""
    plain = ["train.optimizer=sgd", "train.momentum=0", "train.weight_decay=0", *FEW, "train.steps=1"]
    before, alone, both = tmp_path / "before", tmp_path / "alone", nodes.folder / "one-step"
    for run, rate in ((before, "1e-12"), (alone, "0.5")):
        done = run_command(*train_words(tiny, run, *plain, f"train.lr={rate}"))
        assert done.returncode == 0, done.stderr
    nodes.torchrun(*train_words(tiny, both, *plain, *NODES, "train.lr=0.5")).succeed()
    start, one, four = weights(before), weights(alone), weights(both)
    for name, value in one.items():
        gradient = start[name] - value
        assert gradient.abs().max() > 1e-4, name
        torch.testing.assert_close(start[name] - four[name], gradient, rtol=1e-4, atol=1e-6)


def test_figures_are_those_of_one_process(slow: str, tmp_path: Path, straight: Path, nodes: Nodes) -> None:
    alone = tmp_path / "alone"
    done = run_command(*train_words(slow, alone, *FEW))
    assert done.returncode == 0, done.stderr
    one, four = weights(alone), weights(straight)
    for name in one:
        torch.testing.assert_close(four[name], one[name], rtol=1e-3, atol=1e-5)
    measure = ["eval", str(straight), "--plugin", slow, "--data", slow, "--json", "--device", "cpu"]
    done = run_command(*measure)
    assert done.returncode == 0, done.stderr
    said = nodes.torchrun(*measure, *NODES).succeed()
    (line,) = [line for line in said.splitlines() if line.startswith('{"metrics"')]
    assert json.loads(line) == json.loads(done.stdout)


def test_a_dead_process_ends_all_with_the_reason_and_costs_only_steps(
    slow: str, straight: Path, nodes: Nodes
) -> None:
    killed = nodes.folder / "killed"
    started = nodes.torchrun(*train_words(slow, killed, *FEW, *NODES))
    wait_until(lambda: saved(killed))
    victim = nodes.kill_one()
    (first, at_first), (second, at_second) = started.end()
    assert first != 0
    assert second != 0
    assert f"Signal 9 (SIGKILL) received by PID {victim}" in at_second
    assert "because another process of this run failed" in at_first

    resume = ["train", "--plugin", slow, "--data", slow, "--resume", str(killed)]
    nodes.torchrun(*resume).succeed()
    check_equal(killed, straight)


def test_torchrun_starts_all_again_by_itself(slow: str, straight: Path, nodes: Nodes) -> None:
    run = nodes.folder / "again"
    started = nodes.torchrun(*train_words(slow, run, *FEW, *NODES), "--resume", restarts=2)
    wait_until(lambda: saved(run))
    nodes.kill_one()
    started.succeed()
    check_equal(run, straight)


def test_slurm(slow: str, straight: Path, nodes: Nodes) -> None:
    run = nodes.folder / "slurm"
    words = [*train_words(slow, run, *FEW, *NODES), "--resume"]
    started = nodes.srun(*words)
    wait_until(lambda: saved(run))
    nodes.kill_one()
    ends = started.end()
    assert all(code != 0 for code, _ in ends)
    assert sum("because another process of this run failed" in said for _, said in ends) == 3
    said = nodes.srun(*words).succeed()
    assert said.count("Trained 40 steps") == 1
    check_equal(run, straight)
