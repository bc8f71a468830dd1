"""The processes of a distributed run: they start together and fail together."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from toolkit.errors import ConfigError, ToolkitError, TrainingError


def check_meeting_point(processes: int) -> None:
    """Check that the processes of a run can meet at the port ``MASTER_PORT``. The first process calls this
    before it starts the others, which would otherwise wait for half an hour.

    Args:
        processes: number of processes of the run.

    Raises:
        ConfigError: when the port is in use, or is not a port number.
    """
    port = os.environ.get("MASTER_PORT")
    if processes == 1 or port is None or TorchElasticEnvironment.detect() or dist.is_initialized():
        return  # torchrun holds the port itself
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f"MASTER_PORT is {port!r}, not a port. Hint: set it to a free one, or unset it")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            raise ConfigError(
                f"the processes cannot meet at port {port}, which MASTER_PORT names:"
                f" {error.strerror or error}. Hint: set MASTER_PORT to a free port, or unset it, so that one"
                " is chosen"
            ) from None


@contextmanager
def failing_together(fabric: Fabric) -> Iterator[None]:
    """Do something in each process that does not involve the others; if it fails in one, the others stop,
    too, and one of those that failed reports why.

    Raises:
        TrainingError: in the other processes.
    """
    if fabric.world_size == 1:
        yield
        return
    failure: Exception | None = None
    try:
        yield
    except Exception as error:  # a plugin may raise anything, and the others must know
        failure = error
    failed: list[bool] = [False] * fabric.world_size
    dist.all_gather_object(failed, failure is not None)
    if not any(failed):
        return
    first = failed.index(True)
    # all usually fail for the same reason, and one message is enough
    if failure is not None and (fabric.global_rank == first or not isinstance(failure, ToolkitError)):
        raise failure
    raise TrainingError(
        f"process {fabric.global_rank} stopped, because process {first} failed; see the message of that"
        " process"
    )


@torch.no_grad()
def share_buffers(model: torch.nn.Module, fabric: Fabric) -> None:
    """Copy the first process's buffers to the models of all processes, such as the statistics of batch norm,
    which each process has collected from its own images; parameters are the same in all.
    """
    if fabric.world_size == 1:
        return
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for buffer in model.buffers():
        by_type.setdefault(buffer.dtype, []).append(buffer)
    for buffers in by_type.values():
        together = torch.cat([buffer.reshape(-1) for buffer in buffers])
        dist.broadcast(together, 0)
        parts = torch.split(together, [buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))
