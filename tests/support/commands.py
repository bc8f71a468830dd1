"""``toolkit`` commands in processes of their own.

Importing torch, Fabric and the compiler takes five seconds. Here a fork server imports them once, and the
processes that it forks start at once. They are like any others as to signals, exit codes and output. What a
real ``python -m toolkit`` and a real torchrun do beyond that is tested by tests/runtime/test_fabric.py.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

PATIENCE_S = 240


def fork_server() -> ForkServerContext:
    """Starts processes that have imported what training and inference need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "toolkit.training.loop", "toolkit.cli.train"])
    return context


class Command:
    """A ``toolkit`` command that runs in a process of its own; the names are those of ``subprocess.Popen``.

    Args:
        words: what follows ``toolkit``.
        environment: variables on top of those of this process.
        new_session: give the process a process group of its own, for ``os.killpg``.
    """

    def __init__(
        self, *words: str, environment: dict[str, str] | None = None, new_session: bool = False
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="toolkit-command-"))
        variables = dict(os.environ) | (environment or {})
        self._process = fork_server().Process(target=_run, args=(words, self._folder, variables, new_session))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def written(self) -> str:
        """What it has written to standard output so far."""
        file = self._folder / "stdout"
        return file.read_text() if file.exists() else ""

    def communicate(self, timeout: float = PATIENCE_S) -> tuple[str, str]:
        """Wait for its end.

        Returns:
            What it wrote to standard output and to standard error.
        """
        self._process.join(timeout)
        assert self.returncode is not None, f"runs for more than {timeout} s"
        written = tuple((self._folder / name).read_text() for name in ("stdout", "stderr"))
        shutil.rmtree(self._folder)
        return written  # type: ignore[return-value]


@dataclass(frozen=True)
class Done:
    """What processes that have ended leave; outputs of two processes one after the other."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*words: str, processes: int = 1) -> Done:
    """A ``toolkit`` command, run to its end by one process, or by two as torchrun starts them.

    Returns:
        The first exit code that is not 0, if any.
    """
    if processes == 1:
        commands = [Command(*words)]
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "tests"}
        common |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "GROUP_RANK": "0"}
        commands = [
            Command(*words, environment=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(processes)
        ]
    outputs = [command.communicate() for command in commands]
    codes = [command.returncode or 0 for command in commands]
    stdout, stderr = ("".join(texts) for texts in zip(*outputs, strict=True))
    return Done(next((code for code in codes if code), 0), stdout, stderr)


def train_words(package: str, run: Path, *words: str) -> list[str]:
    """``train`` with a plugin and dataset that stand in one file, into the folder ``run``."""
    return ["train", "--plugin", package, "--data", package, "--out", str(run), *words]


def _run(words: tuple[str, ...], folder: Path, environment: dict[str, str], new_session: bool) -> None:
    if new_session:
        os.setsid()
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    # loaders start their processes as in any program, not as this one was started
    multiprocessing.set_start_method(None, force=True)  # type: ignore[arg-type]
    os.environ.clear()
    os.environ.update(environment)
    import torch
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    torch.set_num_threads(1)
    rank_zero_only.rank = int(environment.get("RANK", 0))  # Fabric reads it from the environment on import
    from toolkit.cli import main

    sys.argv = ["toolkit", *words]
    code = main(list(words))
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
