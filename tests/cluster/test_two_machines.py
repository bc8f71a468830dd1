"""Two machines of a Ray cluster in network namespaces of their own: one is killed, the command is killed, and
the network between them is cut. Needs root and Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mortal_cases import check_same

from toolkit.inference.image_batches import Work
from toolkit.inference.pipeline import predict_folder
from toolkit.inference.records import PARTS

pytestmark = pytest.mark.slow
SPACES = ("toolkit-a", "toolkit-b")
HEAD, NODE = "10.77.31.1", "10.77.31.2"
PORT = 6397
# The cluster is only reachable from these namespaces, so it needs no token; no proxy stands between them.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def pids(space: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def kill_all(space: str) -> None:
    """What a power cut does to a machine."""
    for _ in range(20):
        for process in pids(space):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not pids(space):
            return
        time.sleep(0.1)


def begin(space: str, *words: str) -> subprocess.Popen[bytes]:
    command = ["ip", "netns", "exec", space, *words]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def begin_node() -> subprocess.Popen[bytes]:
    words = [f"--address={HEAD}:{PORT}", f"--node-ip-address={NODE}", "--num-cpus=1", "--block"]
    return begin(SPACES[1], sys.executable, "-m", "ray.scripts.scripts", "start", *words)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[None]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the command ip")
    pytest.importorskip("ray")
    started: list[subprocess.Popen[bytes]] = []
    # Paths of sockets must be short.
    temporary = Path(f"/tmp/toolkit-ray-{os.getpid()}")
    try:
        try:
            ip("netns", "add", SPACES[0])
        except subprocess.CalledProcessError:
            pytest.skip("network namespaces are not possible here")
        ip("netns", "add", SPACES[1])
        ip("link", "add", "toolkit-va", "type", "veth", "peer", "name", "toolkit-vb")
        for space, link, address in zip(SPACES, ("toolkit-va", "toolkit-vb"), (HEAD, NODE), strict=True):
            ip("link", "set", link, "netns", space)
            ip("-n", space, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", space, "link", "set", link, "up")
        words = [f"--node-ip-address={HEAD}", f"--port={PORT}", "--num-cpus=1", "--include-dashboard=false"]
        words += [f"--temp-dir={temporary}", "--block"]
        started.append(
            begin(SPACES[0], sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *words)
        )
        time.sleep(8)
        started.append(begin_node())
        time.sleep(5)
        assert all(process.poll() is None for process in started)
        yield
    finally:
        for space in SPACES:
            kill_all(space)
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        for process in started:
            process.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def command(run: Path, photos: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "toolkit", "infer", str(run), str(photos), "--out", str(out)),
        *("--plugin", str(run.parent / "mortal.py"), "--batch-size", "2", "--workers", "1"),
        *("--device", "cpu", "--ray", f"{HEAD}:{PORT}", "--actors", "2"),
    ]


def done(out: Path) -> set[str]:
    lines = [line for path in (out / PARTS).glob("*.jsonl") for line in path.read_text().splitlines()]
    return {json.loads(line)["image"] for line in lines if line.endswith("}")}


def wait_until(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["node", "command", "network"])
def test_images_are_done_once_whatever_fails(
    cluster: None, mortal: Path, many_photos: Path, tmp_path: Path, fault: str
) -> None:
    predict_folder(mortal, many_photos, tmp_path / "alone", work=Work(2, 1), progress=False)
    # Slow enough that something can happen in between.
    plugin = mortal.parent / "mortal.py"
    plugin.write_text(plugin.read_text().replace("time.sleep(0.01", "time.sleep(0.25"))
    out = tmp_path / "out"
    words = command(mortal, many_photos, out)
    driver = begin(SPACES[0], *words)
    wait_until(lambda: len(list((out / PARTS).glob("*.jsonl"))) == 2 and len(done(out)) >= 6)
    if fault == "node":
        kill_all(SPACES[1])
        assert driver.wait(timeout=240) == 3
    elif fault == "network":
        ip("-n", SPACES[1], "link", "set", "toolkit-vb", "down")
        time.sleep(10)
        ip("-n", SPACES[1], "link", "set", "toolkit-vb", "up")
        assert driver.wait(timeout=240) == 3
    else:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        before = done(out)
        assert len(before) < 61
        assert begin(SPACES[0], *words, "--resume").wait(timeout=240) == 3
    check_same(out, tmp_path / "alone")
