"""Devices and processes: what launchers start must be what the settings ask for."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from lightning_fabric import Fabric
from support.commands import run_command, train_words

from toolkit.errors import ConfigError, TrainingError
from toolkit.runtime.fabric import launch, make_fabric, naming_lost_peers

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]


def set_srun(monkeypatch: pytest.MonkeyPatch, tasks: int) -> None:
    """The variables that matter of those which srun sets in the first of its tasks on one node."""
    values = {"SLURM_JOB_NAME": "job", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for name, value in (
        values | dict.fromkeys(("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_NUM_TASKS"), str(tasks))
    ).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("tasks", "devices", "nodes"), [(2, 1, 1), (1, 2, 1), (4, 2, 1), (2, 2, 2)])
def test_another_number_of_processes_than_srun_has_started_is_refused(
    monkeypatch: pytest.MonkeyPatch, tasks: int, devices: int, nodes: int
) -> None:
    set_srun(monkeypatch, tasks)
    with pytest.raises(
        ConfigError,
        match=(
            rf"srun started {tasks} process.*--devices {devices} and --num-nodes {nodes} make.*"
            rf"Hint: .*product is {tasks}"
        ),
    ):
        make_fabric(accelerator="cpu", devices=devices, num_nodes=nodes, precision="fp32")


def test_the_number_that_srun_has_started_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    set_srun(monkeypatch, 1)
    assert make_fabric(accelerator="cpu", devices=1, precision="fp32").world_size == 1
    set_srun(monkeypatch, 2)
    assert make_fabric(accelerator="cpu", devices=2, precision="fp32").world_size == 2


def test_one_device_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """``cuda:1`` is that GPU alone, with which several processes do not go together."""
    asked: dict[str, object] = {}
    monkeypatch.setattr("toolkit.runtime.fabric.find_device", torch.device)
    monkeypatch.setattr("toolkit.runtime.fabric.Fabric", lambda **given: asked.update(given))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    make_fabric(accelerator="cuda:1", devices=1, precision="fp32")
    assert (asked["accelerator"], asked["devices"]) == ("cuda", [1])
    make_fabric(accelerator="cuda", devices=2, precision="fp32")
    assert (asked["accelerator"], asked["devices"]) == ("cuda", 2)
    with pytest.raises(
        ConfigError, match=r"cuda:1 is one device, but 2 are requested\. Hint: --device cuda$"
    ):
        make_fabric(accelerator="cuda:1", devices=2, precision="fp32")


def test_a_batch_script_may_run_one_process_of_the_tasks_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without srun there is one process, whatever was asked for by sbatch."""
    set_srun(monkeypatch, 4)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.setattr("lightning_fabric.plugins.environments.slurm._is_srun_used", lambda: False)
    assert make_fabric(accelerator="cpu", devices=1, precision="fp32").world_size == 1


@pytest.mark.slow
def test_torchrun_trains_one_run_or_none(tiny: str, tmp_path: Path) -> None:
    """Two processes that each took themselves for the whole run would write over each other's files."""
    few = ["train.steps=2", "train.device=cpu"]
    refused = run_command(*train_words(tiny, tmp_path / "none", *few), processes=2)
    assert refused.returncode != 0
    assert "error: torchrun started 2 processes, but --devices 1 and --num-nodes 1 make 1" in refused.stderr
    assert not (tmp_path / "none").exists()
    done = subprocess.run(
        [*TORCHRUN, "-m", "toolkit", *train_words(tiny, tmp_path / "one", *few, "--devices", "2")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trained 2 steps") == 1
    assert len(list((tmp_path / "one").glob("events.*"))) == 1


@pytest.mark.slow
def test_a_fault_in_one_process_is_told_without_a_traceback_of_the_other(tiny: str, tmp_path: Path) -> None:
    """The second process reads a sample that the first does not."""
    command = [sys.executable, "-m", "toolkit", *train_words(tiny, tmp_path / "run", "--devices", "2")]
    words = ["train.steps=3", "train.batch_size=2", "train.device=cpu", "data.options.damaged=train/1"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode != 0
    assert "error: train/1 is damaged" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "said",
    [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1042",
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:525] Read error: Connection reset by peer",
        (
            "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting"
            " prematurely."
        ),
    ],
)
def test_a_lost_peer_is_pointed_to(said: str) -> None:
    fabric = SimpleNamespace(world_size=2, global_rank=1)
    with pytest.raises(TrainingError, match="process 1 stopped, because another process"), naming(fabric):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="out of memory"), naming(fabric):
        raise RuntimeError("out of memory")
    with pytest.raises(RuntimeError) as error, naming(SimpleNamespace(world_size=1, global_rank=0)):
        raise RuntimeError(said)
    assert str(error.value) == said


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "Gloo connectFullMesh failed with [pair.cc:152] timed out connecting: Connection refused\n"
        ),
        torch.distributed.DistNetworkError(
            "The client socket has timed out while trying to connect\nframe #0"
        ),
    ],
)
def test_processes_that_cannot_connect(error: RuntimeError) -> None:
    def fail() -> None:
        raise error

    match = r"cannot connect: .* Hint: on several machines, set GLOO_SOCKET_IFNAME"
    with pytest.raises(TrainingError, match=match) as raised:
        launch(cast("Fabric", SimpleNamespace(launch=fail)))
    assert "\n" not in str(raised.value)


def test_another_error_at_the_start_stays_what_it_is() -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="^out of memory$"):
        launch(cast("Fabric", SimpleNamespace(launch=fail)))


def naming(fabric: SimpleNamespace) -> AbstractContextManager[None]:
    return naming_lost_peers(cast("Fabric", fabric))
