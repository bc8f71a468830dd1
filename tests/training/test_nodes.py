"""Training on two nodes of two processes each, as torchrun starts them; here both nodes are this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.commands import train_words
from support.nodes import FEW, NODES

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def begin(*words: str) -> list[subprocess.Popen[str]]:
    """The command on both nodes, which starts again once by itself."""
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--nnodes", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *meeting]
    # Otherwise a process that has been started again may read the address of one that is gone.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    return [
        subprocess.Popen(  # type: ignore[call-overload]
            [*command, "--max-restarts", "1", "-m", "toolkit", *words], start_new_session=True, **options
        )
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
    nodes = begin(*train_words(tiny, killed, *FEW, *NODES), "--resume")
    limit = time.monotonic() + 120
    while not (killed / "resume.pt").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(workers(nodes[1])[0], signal.SIGKILL)
    said = end(nodes)
    assert all(code == 0 for code, _, _ in said), said
    assert any("exitcode: -9" in error for _, _, error in said), said
    before, after = (load_file(run / "last.safetensors") for run in (straight, killed))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
