"""Two "machines": namespaces of networks and mounts, each with an address and a ``/tmp`` of its own, and a
cable between them. Needs root and Linux.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Keeps some folders, hides the rest of /tmp, and holds the namespace until it is killed.
_HOLD = """
set -e
place=$(mktemp -d)
for folder in "$@"; do mkdir -p "$place$folder"; mount --bind "$folder" "$place$folder"; done
mount --rbind "$place" /mnt
mount -t tmpfs tmpfs /tmp
for folder in "$@"; do mkdir -p "$folder"; mount --bind "/mnt$folder" "$folder"; done
umount -R /mnt
exec sleep 3600
"""


class Machine:
    """One of them.

    Args:
        space: the name of its namespace.
        address: of its network.
        link: the name of its end of the cable.
        shared: folders that both have.
    """

    def __init__(self, space: str, address: str, link: str, shared: Sequence[Path]) -> None:
        self.space, self.address, self.link = space, address, link
        self._started: list[Process] = []
        run_ip("-n", space, "addr", "add", f"{address}/24", "dev", link)
        for each in ("lo", link):
            run_ip("-n", space, "link", "set", each, "up")
        hold = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, "sh", *map(str, shared)]
        self._holder: Process = subprocess.Popen(["ip", "netns", "exec", space, *hold], text=True)
        wait_until(lambda: Path(f"/proc/{self._holder.pid}/comm").read_text() == "sleep\n", 10)

    def begin(self, *words: str, environment: dict[str, str], output: int | None = None) -> Process:
        """Start a command there."""
        inside = ["nsenter", "-t", str(self._holder.pid), "-m", "-n", "--", *words]
        said = subprocess.DEVNULL if output is None else output
        started = subprocess.Popen(
            inside, env=environment, stdout=said, stderr=said, text=True, cwd=ROOT, start_new_session=True
        )
        self._started.append(started)
        return started

    def pids(self) -> list[int]:
        """All processes there."""
        command = ["ip", "netns", "pids", self.space]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def kill(self) -> None:
        """What a power cut does."""
        for _ in range(20):
            for process in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if not self.pids():
                break
            time.sleep(0.1)
        for each in (self._holder, *self._started):
            each.wait(timeout=30)
            for pipe in (each.stdout, each.stderr):
                if pipe is not None:
                    pipe.close()

    def cut(self, seconds: float) -> None:
        """Take the cable out for a while."""
        run_ip("-n", self.space, "link", "set", self.link, "down")
        time.sleep(seconds)
        run_ip("-n", self.space, "link", "set", self.link, "up")


Process = subprocess.Popen[str]


@contextlib.contextmanager
def two_machines(name: str, network: str, shared: Sequence[Path]) -> Iterator[tuple[Machine, Machine]]:
    """Make them, and remove them with all that runs there; skips the test where that is not possible.

    Args:
        name: begins those of the namespaces; the number of this process follows, so that the same tests may
            run twice at a time.
        network: the first three numbers of their addresses.
        shared: folders that both have, besides the toolkit itself.
    """
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        pytest.skip("needs root, and the commands ip, nsenter and unshare")
    own = os.getpid()
    spaces, links = (f"{name}-{own}-a", f"{name}-{own}-b"), (f"va{own}", f"vb{own}")
    machines: list[Machine] = []
    made: list[str] = []
    try:
        try:
            for space in spaces:
                run_ip("netns", "add", space)
                made.append(space)
        except subprocess.CalledProcessError:
            pytest.skip("network namespaces are not possible here")
        run_ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
        for number, (space, link) in enumerate(zip(spaces, links, strict=True), start=1):
            run_ip("link", "set", link, "netns", space)
            machines.append(Machine(space, f"{network}.{number}", link, [ROOT, *shared]))
        yield machines[0], machines[1]
    finally:
        for machine in machines:
            machine.kill()
        for space in made:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def run_ip(*words: str) -> None:
    """The command ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def wait_until(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait, and fail after a while."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
