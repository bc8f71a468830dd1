"""Processes and precision, based on Lightning Fabric. Only training and evaluation import this, because it
loads torch.compile and the distributed parts of torch, 150 MB in all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy
from lightning_fabric.utilities.rank_zero import rank_zero_only

from toolkit.errors import ConfigError, TrainingError
from toolkit.runtime.devices import choose_precision, find_device
from toolkit.wording import counted


def precision_plugin(precision: str, accelerator: str) -> Precision:
    """fp16 uses a GradScaler on every device; bf16 and fp32 do not."""
    if precision == "fp32":
        return Precision()
    return MixedPrecision("16-mixed" if precision == "fp16" else "bf16-mixed", device=accelerator)


def make_fabric(*, accelerator: str, devices: int, precision: str, num_nodes: int = 1) -> Fabric:
    """A Fabric for these settings (see ``TrainSettings``), not launched yet.

    More than one process runs distributed data parallel: gloo on CPUs, NCCL on GPUs; torchrun and SLURM are
    recognized.

    Args:
        accelerator: as for ``find_device``; ``cuda:1`` is that GPU alone.
        devices: number of devices on each node.
        precision: as for ``choose_precision``.
        num_nodes: number of machines.

    Raises:
        ConfigError: when the devices are not available, several are requested but one is named by its number,
            or a launcher has started another number of processes.
    """
    _check_launcher(devices, num_nodes)
    device = find_device(accelerator)
    if device.index is not None and devices * num_nodes > 1:
        raise ConfigError(
            f"--device {accelerator} is one device, but {devices * num_nodes} are requested. Hint: --device"
            f" {device.type}"
        )
    accelerator = device.type
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"devices={devices}, but the number of CUDA devices here is {torch.cuda.device_count()}"
        )
    strategy: str | Strategy = "auto"
    if devices * num_nodes > 1:
        # Some parameters get no gradient in some steps (an image without objects trains no mask head).
        strategy = DDPStrategy(find_unused_parameters=True)
        if accelerator == "cpu":
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices))
    plugin = precision_plugin(choose_precision(precision, accelerator), accelerator)
    # CPUs are not numbered, but torch accepts `cpu:0`
    chosen = [device.index] if device.index is not None and accelerator != "cpu" else devices
    return Fabric(
        accelerator=accelerator, strategy=strategy, devices=chosen, num_nodes=num_nodes, plugins=[plugin]
    )


def _check_launcher(devices: int, num_nodes: int) -> None:
    """Refuse to start if each process of a launcher would consider itself the whole run and overwrite the
    others' files.
    """
    launchers = (
        ("torchrun", TorchElasticEnvironment, "WORLD_SIZE"),
        (
            "srun",
            SLURMEnvironment,
            "SLURM_STEP_NUM_TASKS",
        ),  # only srun sets it; sbatch alone starts one process
    )
    for launcher, environment, variable in launchers:
        if not (environment.detect() and variable in os.environ):
            continue
        processes = int(os.environ[variable])
        if processes != devices * num_nodes:
            raise ConfigError(
                f"{launcher} started {counted(processes, 'process', 'processes')}, but --devices {devices}"
                f" and --num-nodes {num_nodes} make {devices * num_nodes}. Hint: set --devices to the"
                f" processes per node and --num-nodes to the nodes, so that their product is {processes}"
            )
        return


def launch(fabric: Fabric) -> None:
    """Start the processes of a run, or meet those that a launcher has started.

    Raises:
        TrainingError: when they cannot connect.
    """
    try:
        fabric.launch()
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "connectFullMesh" not in str(error):
            raise
        raise TrainingError(
            f"the processes of this run cannot connect: {str(error).splitlines()[0].rstrip('.')}. Hint: on"
            " several machines, set GLOO_SOCKET_IFNAME (on GPUs, NCCL_SOCKET_IFNAME) to the network between"
            " them; for torchrun --max-restarts, set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
        ) from None


_LOST_PEER = (
    *("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed"),
    *("Connection was likely closed", "a remote process exit", "remote process has died"),
)
"""Parts of the messages of gloo, of the store where processes meet, and of NCCL."""


@contextmanager
def naming_lost_peers(fabric: Fabric) -> Iterator[None]:
    """Replace the error that gloo or NCCL raises when another process of the run has stopped by one that
    points to that process.

    Raises:
        TrainingError: instead of theirs.
    """
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not any(words in str(error) for words in _LOST_PEER):
            raise
        raise TrainingError(
            f"process {fabric.global_rank} stopped, because another process of this run failed; see the"
            " message of that process"
        ) from None


def is_first_process() -> bool:
    """Whether this process is, or will be, the one that writes files; known before the processes are
    launched.
    """
    return (
        int(getattr(rank_zero_only, "rank", 0)) == 0
    )  # Fabric reads it from the launcher's environment variables


def synchronize_batchnorm(model: torch.nn.Module, fabric: Fabric) -> None:
    """On several GPUs, make BatchNorm see the whole batch; torch has no such operator for CPUs, where each
    process sees its own part.
    """
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
