"""Processes that begin together and fail together."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from support.two_processes import in_two_processes
from torch import nn

from toolkit.errors import ConfigError, DataError, ToolkitError, TrainingError
from toolkit.runtime.processes import check_meeting_point, failing_together, share_buffers


def this_fabric() -> Fabric:
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return cast("Fabric", SimpleNamespace(world_size=world, global_rank=rank))


def attempts(cases: list[list[str]]) -> list[str]:
    """What is raised in this process in each case, where those that are named fail."""
    return [attempt(faults[dist.get_rank()]) for faults in cases]


def attempt(fault: str) -> str:
    kinds: dict[str, type[Exception]] = {"data": DataError, "bug": ZeroDivisionError}
    try:
        with failing_together(this_fabric()):
            if fault:
                raise kinds[fault](f"{fault} in {dist.get_rank()}")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


STOPS = "TrainingError: process {0} stopped, because process {1} failed; see the message of that process"


def test_where_one_fails_all_stop_and_one_says_why(tmp_path: Path) -> None:
    cases = {
        ("", ""): ("", ""),
        ("data", ""): ("DataError: data in 0", STOPS.format(1, 0)),
        ("", "data"): (STOPS.format(0, 1), "DataError: data in 1"),
        ("data", "data"): ("DataError: data in 0", STOPS.format(1, 0)),
        ("bug", ""): ("ZeroDivisionError: bug in 0", STOPS.format(1, 0)),
        ("data", "bug"): ("DataError: data in 0", "ZeroDivisionError: bug in 1"),
    }
    first, second = in_two_processes(tmp_path, attempts, [list(case) for case in cases])
    assert dict(zip(cases, zip(first, second, strict=True), strict=True)) == cases


def test_one_process_alone_fails_as_ever() -> None:
    with pytest.raises(DataError, match="mine"), failing_together(this_fabric()):
        raise DataError("mine")


class Buffers(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_mean.copy_(torch.randn(3))  # type: ignore[union-attr]
        self.register_buffer("mask", torch.rand(2, 2) > 0.5)
        self.register_buffer("aside", torch.randn(4, 1, 2).double(), persistent=False)
        self.register_buffer("none", torch.zeros(0))
        self.layer = nn.Linear(1, 1)


def shared(seeds: list[int]) -> dict[str, Any]:
    module = Buffers(seeds[dist.get_rank()])
    share_buffers(module, this_fabric())
    return {name: value.tolist() for name, value in (*module.named_buffers(), *module.named_parameters())}


def test_buffers_become_those_of_the_first_process(tmp_path: Path) -> None:
    first, second = in_two_processes(tmp_path, shared, [1, 2])
    mine, other = (
        {name: value.tolist() for name, value in (*m.named_buffers(), *m.named_parameters())}
        for m in (Buffers(1), Buffers(2))
    )
    assert first == mine
    assert {n: v for n, v in second.items() if "layer" not in n} == {
        n: v for n, v in mine.items() if "layer" not in n
    }
    assert second["layer.weight"] == other["layer.weight"], "parameters are left alone"


@pytest.fixture
def taken() -> Any:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken_ends_at_once(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("MASTER_PORT", str(taken))
    with pytest.raises(
        ConfigError, match=rf"cannot meet at port {taken}.*Hint: set MASTER_PORT to a free port"
    ):
        check_meeting_point(2)
    check_meeting_point(1)  # nobody to meet
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")  # torchrun holds it
    check_meeting_point(2)


@pytest.mark.parametrize("port", ["", "none", "0", "65536", "-3"])
def test_what_is_no_port_is_said(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("MASTER_PORT", port)
    with pytest.raises(ConfigError, match="not a port. Hint"):
        check_meeting_point(3)


def test_a_free_port_and_none_are_fine(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_PORT", raising=False)
    check_meeting_point(2)
    with socket.socket() as probe:
        probe.bind(("", 0))
        free = probe.getsockname()[1]
    monkeypatch.setenv("MASTER_PORT", str(free))
    check_meeting_point(2)
    assert issubclass(TrainingError, ToolkitError)
