"""The processes of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from toolkit.cluster.pool import Died, Pool
from toolkit.cluster.reaching import check_cluster
from toolkit.errors import UsageError
from toolkit.runtime.extras import import_ray

LOCAL = "local"
"""The address that stands for a cluster on this machine, which lives as long as the command."""

_QUIET = {
    # Ray reports usage to its authors, and warns of a change to come, unless told otherwise.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_BRIEF = {
    # Tries of a second each to get in, of 20: a cluster that asks for a token lets nobody in later, either.
    "RAY_gcs_server_port_wait_time_s": "10",
}


@dataclass(frozen=True)
class Share:
    """What each process gets.

    Attributes:
        actors: number of processes.
        cpus: whole cores of each, which is the number of threads of its network.
        gpus: part of a GPU, or number of GPUs, of each.
    """

    actors: int
    cpus: int
    gpus: float


class RayPool(Pool):
    """Ray's actors.

    Args:
        share: how many there are, and what each gets.
        worker: the class of their workers, which gets the name of each.
    """

    def __init__(self, share: Share, worker: type) -> None:
        self._ray, self.share = import_ray("--ray"), share
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": 0}
        self._worker = self._ray.remote(**options)(worker)
        self._free = dict(self._ray.available_resources())

    def start(self, name: str) -> Any:
        """An actor."""
        return self._worker.remote(name)

    def submit(self, process: Any, method: str, *arguments: Any) -> Hashable:
        """Ray's reference to the answer."""
        answer: Hashable = getattr(process, method).remote(*arguments)
        return answer

    def wait(self, answers: Collection[Hashable], seconds: float) -> list[Hashable]:
        """As Ray does."""
        if not answers:
            return []
        come, _ = self._ray.wait(list(answers), num_returns=len(answers), timeout=0)
        if not come:
            come, _ = self._ray.wait(list(answers), num_returns=1, timeout=seconds)
        found: list[Hashable] = come
        return found

    def answer(self, answer: Hashable) -> Any:
        """The value."""
        raised = self._ray.exceptions
        try:
            return self._ray.get(answer)
        except raised.RayTaskError as error:
            # Ours come as values, so this is the worker itself, such as one of another version.
            raise UsageError(
                f"a process of the cluster has failed: {_first_line(str(error.cause or error))}. Hint:"
                " install the same version of the toolkit on all machines"
            ) from error
        except raised.RayError as error:
            raise Died(death_of(error)) from None

    def stop(self, process: Any) -> None:
        """End an actor, also one that has not begun."""
        with contextlib.suppress(Exception):
            self._ray.kill(process)

    def has_room(self) -> bool:
        """Whether the cluster had as much free as an actor needs, on all machines together."""
        cpus, gpus = float(self._free.get("CPU", 0)), float(self._free.get("GPU", 0))
        return cpus >= self.share.cpus and gpus >= self.share.gpus

    def shortage(self) -> str:
        """What actors need, and what the cluster has free."""
        free, share = self._free, self.share
        gpus = f" and {share.gpus:g} of a GPU" if share.gpus else ""
        return (
            f"each needs {share.cpus} CPU{gpus}, and the cluster had {free.get('CPU', 0):g} CPU and"
            f" {free.get('GPU', 0):g} GPU free"
        )


def check_share(address: str, actors: int | None, gpus_per_actor: float | None) -> None:
    """Check what ``connected`` takes, and that something like a cluster is there, within seconds.

    Raises:
        UnavailableError: when Ray is not installed.
        UsageError: when a number makes no sense, or there is no cluster at the address.
    """
    if actors is not None and actors < 1:
        raise UsageError(f"actors must be at least 1, not {actors}")
    if gpus_per_actor is not None and gpus_per_actor < 0:
        raise UsageError(f"gpus_per_actor must be at least 0, not {gpus_per_actor:g}")
    import_ray("--ray")
    if address != LOCAL:
        check_cluster(address)


@contextlib.contextmanager
def connected(
    address: str, actors: int | None, gpus_per_actor: float | None, worker: type
) -> Iterator[RayPool]:
    """Connect to a cluster, or begin one here, and leave it at the end.

    Args:
        address: that of a cluster, such as ``head:6379``, or ``"local"``.
        actors: number of processes; when None, one per GPU, or else one per core.
        gpus_per_actor: of each; when None, one where there are GPUs.
        worker: as for ``RayPool``.

    Raises:
        UnavailableError: when Ray is not installed.
        UsageError: when there is no cluster at the address, or it runs another version of Ray or Python.
    """
    ray = import_ray("--ray")
    wanted = _QUIET if address == LOCAL else _QUIET | _BRIEF
    quiet = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(quiet)
    try:
        _connect(ray, address, _of_local(actors) if address == LOCAL else {})
        yield RayPool(share_of(ray, actors, gpus_per_actor), worker)
    finally:
        ray.shutdown()
        for name in quiet:
            os.environ.pop(name, None)


def _connect(ray: Any, address: str, options: dict[str, Any]) -> None:
    with _native_messages() as said:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise UsageError(no_cluster(address, error, said())) from None


@contextlib.contextmanager
def _native_messages() -> Iterator[Callable[[], str]]:
    """Keep what Ray's native code writes to standard error, a line for each try, which no setting prevents;
    yields what returns it.
    """
    with tempfile.TemporaryFile() as file, contextlib.ExitStack() as stack:
        before = os.dup(2)
        stack.callback(os.close, before)
        os.dup2(file.fileno(), 2)
        stack.callback(os.dup2, before, 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        yield said


def _of_local(actors: int | None) -> dict[str, Any]:
    """How a cluster here begins; more processes than cores are the user's choice."""
    return {"include_dashboard": False, "num_cpus": max(actors or 0, os.cpu_count() or 1)}


def share_of(ray: Any, actors: int | None, gpus_per_actor: float | None) -> Share:
    """What each process gets of the nodes that are there, see ``connected``."""
    # A head often has no cores for work.
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes = [node for node in nodes if node.get("CPU", 0.0) >= 1]
    gpus = sum(node.get("GPU", 0.0) for node in nodes)
    each = (1.0 if gpus else 0.0) if gpus_per_actor is None else gpus_per_actor
    cores = int(sum(node.get("CPU", 0.0) for node in nodes))
    count = actors or max(1, int(gpus / each) if each else cores)
    # As many as fit on every machine, if they were spread evenly.
    nodes = [node for node in nodes if node.get("GPU", 0.0) >= min(each, 1.0)] or nodes
    smallest = int(min((node.get("CPU", 0.0) for node in nodes), default=1.0))
    cpus = max(1, smallest // -(-count // max(1, len(nodes))))
    return Share(count, cpus, each)


def no_cluster(address: str, error: Exception, said: str = "") -> str:
    """What to say when Ray cannot connect.

    Args:
        address: that was tried.
        error: of Ray.
        said: what its native code wrote meanwhile.
    """
    reason = _first_line(str(error))
    if "ersion mismatch" in str(error):
        return (
            f"the cluster at {address} has other versions: {_without_breaks(str(error))}. Hint: install the"
            " same versions of Ray and Python on all machines"
        )
    if "ailed to connect" in reason or "uth" in reason:
        *_, reason = [reason, *re.findall(r"from GCS server: (.+?)\.?$", said, re.MULTILINE)]
        return (
            f"the cluster at {address} does not let this machine in: {reason}. Hint: if it asks for a token,"
            " set RAY_AUTH_MODE=token here, and give this machine the token of its head"
        )
    return (
        f"there is no Ray cluster at {address}: {reason}. Hint: begin one with `ray start --head`, or write"
        " --ray local"
    )


def death_of(error: Exception) -> str:
    """Why an actor died, in a line."""
    for line in str(error).splitlines():
        _, because, reason = line.partition("The actor is dead because ")
        if because:
            short, _, causes = reason.strip().partition(" Some common causes")
            return short.rstrip(".") + (", perhaps for lack of memory" if "OOM" in causes else "")
    return _first_line(str(error))


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "no reason was given").rstrip(".")


def _without_breaks(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
