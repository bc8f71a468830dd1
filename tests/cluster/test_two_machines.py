"""Two machines of a Ray cluster with networks and ``/tmp`` of their own: one is killed, an actor, the
command, and the network between them is cut. Needs root and Linux.

``TOOLKIT_MOMENTS=20`` tries as many random moments of each, three quarters of an hour in all; otherwise
there is one.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mortal_cases import check_same
from support.machines import Machine, Process, two_machines, wait_until

from toolkit.inference.image_batches import Work
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import PARTS

pytestmark = pytest.mark.slow
PORT = 6397
MOMENTS = int(os.environ.get("TOOLKIT_MOMENTS", "1"))
# The cluster is only reachable from these namespaces, so it needs no token; no proxy stands between them.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # That of each machine.
    "TMPDIR": "/tmp",
}
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--block"]


class Clusters:
    """A cluster of two machines for one test after the other, and a new one when it has lost a machine.

    Args:
        shared: the folder that both machines have.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._open = contextlib.ExitStack()
        self._started: list[Process] = []
        self._machines: tuple[Machine, Machine] | None = None

    def get(self) -> tuple[Machine, Machine]:
        """The machines."""
        if self._machines is None or any(process.poll() is not None for process in self._started):
            self.close()
            self._machines = self._begin()
        return self._machines

    def _begin(self) -> tuple[Machine, Machine]:
        head, node = self._open.enter_context(two_machines("toolkit", "10.77.31", [self._shared]))
        words = ["--head", f"--node-ip-address={head.address}", f"--port={PORT}", "--include-dashboard=false"]
        self._started = [head.begin(*RAY, *words, environment=ENVIRONMENT)]
        time.sleep(8)
        words = [f"--address={head.address}:{PORT}", f"--node-ip-address={node.address}"]
        self._started.append(node.begin(*RAY, *words, environment=ENVIRONMENT))
        time.sleep(5)
        assert all(process.poll() is None for process in self._started)
        return head, node

    def close(self) -> None:
        """Remove them."""
        self._open.close()


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    pytest.importorskip("ray")
    all_of_them = Clusters(tmp_path_factory.getbasetemp())
    yield all_of_them
    all_of_them.close()


def command(run: Path, photos: Path, out: Path, head: Machine) -> list[str]:
    return [
        *(sys.executable, "-m", "toolkit", "infer", str(run), str(photos), "--out", str(out)),
        *("--plugin", str(run.parent / "mortal.py"), "--batch-size", "2", "--workers", "1"),
        *("--device", "cpu", "--ray", f"{head.address}:{PORT}", "--actors", "2"),
    ]


def done(out: Path) -> set[str]:
    lines = [line for path in (out / PARTS).glob("*.jsonl") for line in path.read_text().splitlines()]
    return {json.loads(line)["image"] for line in lines if line.endswith("}")}


def actors(machine: Machine) -> list[int]:
    return [
        each for each in machine.pids() if Path(f"/proc/{each}/cmdline").read_bytes()[:11] == b"ray::Worker"
    ]


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("fault", ["node", "actor", "command", "network"])
def test_images_are_done_once_whatever_fails(
    clusters: Clusters, mortal: Path, many_photos: Path, tmp_path: Path, fault: str, moment: int
) -> None:
    head, node = clusters.get()
    chance = random.Random(f"{fault} {moment}")
    predict_folder(mortal, many_photos, tmp_path / "alone", work=Work(2, 1), progress=False)
    # Slow enough that something can happen in between.
    plugin = mortal.parent / "mortal.py"
    plugin.write_text(plugin.read_text().replace("time.sleep(0.01", "time.sleep(0.25"))
    out = tmp_path / "out"
    words = command(mortal, many_photos, out, head)
    driver = head.begin(*words, environment=ENVIRONMENT)
    least = chance.randrange(2, 45)
    wait_until(lambda: len(list((out / PARTS).glob("*.jsonl"))) == 2 and len(done(out)) >= least)
    time.sleep(chance.random() / 2)
    assert driver.poll() is None
    if fault == "node":
        node.kill()
        assert driver.wait(timeout=240) == 3
    elif fault == "actor":
        os.kill(chance.choice(actors(head) + actors(node)), signal.SIGKILL)
        assert driver.wait(timeout=240) == 3
    elif fault == "network":
        node.cut(10)
        assert driver.wait(timeout=240) == 3
    else:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        before = done(out)
        assert len(before) < 61
        again = head.begin(*words, "--resume", environment=ENVIRONMENT)
        assert again.wait(timeout=240) == 3
    check_same(out, tmp_path / "alone")
