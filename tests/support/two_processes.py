"""Calls a function in two processes that form one distributed run, as the processes of ``--devices 2`` do."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from support.commands import fork_server

R = TypeVar("R")

PATIENCE_S = 60


def in_two_processes(folder: Path, function: Callable[..., R], *args: Any) -> tuple[R, R]:
    """What a function of a test module returns in the first and in the second process.

    Args:
        folder: where they may meet; holds no other meeting.
        function: called with ``args`` once the processes know each other.
    """
    with ProcessPoolExecutor(2, fork_server()) as executor:
        # the second call goes to the second process, because the first waits for it
        calls = [executor.submit(_call, str(folder), rank, function, args) for rank in range(2)]
        first, second = (call.result(timeout=2 * PATIENCE_S) for call in calls)
        return first, second


def _call(folder: str, rank: int, function: Callable[..., R], args: tuple[Any, ...]) -> R:
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=PATIENCE_S)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timeout)
    try:
        return function(*args)
    finally:
        dist.destroy_process_group()
