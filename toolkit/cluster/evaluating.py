"""Evaluating on a cluster: each process measures shares of a split, and the states of the evaluators are
merged.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit import registry
from toolkit.cluster.job import Introduction, Problem, introduction
from toolkit.cluster.paths import absolute_prompts
from toolkit.cluster.pool import Pool
from toolkit.cluster.ray_pool import check_share, connected
from toolkit.cluster.team import Member, Team
from toolkit.errors import CheckpointError, UsageError
from toolkit.evaluation.requests import Computing, DataChoice, Prompting
from toolkit.evaluation.shares import MeasuredRun, ShareEngine
from toolkit.models.sliding_window import Tiling
from toolkit.registry.discovery import loaded_paths

SHARES_PER_ACTOR = 4
"""Shares for each process, so that a fast one takes more of them and a dead one loses little."""
DEATHS = 3
"""When this many processes have died with a share, the work ends with an error."""


@dataclass(frozen=True)
class MeasuringJob:
    """What each process is told; paths are absolute.

    Attributes:
        run, choice, computing, prompting, tiling: as for ``MeasuredRun``.
        plugins: files and folders of plugins that were named as code.
    """

    run: str
    choice: DataChoice
    computing: Computing
    prompting: Prompting
    plugins: tuple[str, ...]
    tiling: Tiling | None = None


class MeasuringWorker:
    """A process that measures. Its methods return errors as ``Problem``.

    Args:
        name: unique among all processes of a command.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._run: MeasuredRun | None = None

    def introduce(self) -> Introduction:
        """Where it runs, and what is installed there."""
        return introduction()

    def open(self, job: MeasuringJob) -> Problem | None:
        """Load the model and open the split."""
        try:
            for path in job.plugins:
                registry.add_path(path)
            if not Path(job.run).exists():
                raise CheckpointError(
                    f"{job.run} does not exist there. Hint: put the run into a folder that all machines"
                    " share, or copy it to the same path on each"
                )
            self._run = MeasuredRun(job.run, job.choice, job.computing, job.prompting, job.tiling)
        except Exception as error:
            return Problem.of(error, introduction().host)
        return None

    def measure(self, piece: tuple[int, int]) -> tuple[list[Any], float] | Problem:
        """Measure a share.

        Args:
            piece: the number of the share, and the number of all shares.

        Returns:
            The states of the evaluators, and the seconds that this took.
        """
        start = time.perf_counter()
        try:
            if self._run is None:
                raise UsageError("a process of the cluster got a share before its work")
            states = self._run.states(*piece)
        except Exception as error:
            return Problem.of(error, introduction().host)
        return states, time.perf_counter() - start


class MeasuringTeam(Team[tuple[int, int], tuple[int, list[Any]]]):
    """The processes that measure a split together.

    Args:
        pool: where they run; their workers are ``MeasuringWorker``.
        job: what they are told.
        shares: number of shares.
        images: number of images of the split.
        size, label: as in ``Team``.
    """

    def __init__(
        self, pool: Pool, job: MeasuringJob, shares: int, images: int, size: int, label: str
    ) -> None:
        super().__init__(pool, job, "measure", size, label)
        self._todo = deque((share, shares) for share in range(shares))
        self._images = images
        self._lost = [0] * shares

    def is_done(self) -> bool:
        """Whether no share is left."""
        return not self._todo

    def next_piece(self, member: Member) -> tuple[int, int] | None:
        """A share."""
        return self._todo.popleft() if self._todo else None

    def take(self, member: Member, piece: tuple[int, int], value: Any) -> Iterator[tuple[int, list[Any]]]:
        """The number of a share with its states."""
        states, seconds = value
        member.images += len(range(*piece[:1], self._images, piece[1]))
        member.seconds += seconds
        yield piece[0], states

    def take_back(
        self, member: Member, pieces: Sequence[tuple[int, int]], reason: str
    ) -> Iterator[tuple[int, list[Any]]]:
        """Measure these shares again.

        Raises:
            UsageError: when processes keep dying with a share.
        """
        for share, _ in pieces[:1]:
            self._lost[share] += 1
            if self._lost[share] >= DEATHS:
                raise UsageError(
                    f"processes of the cluster died each time with the same images: {reason}. Hint: a smaller"
                    " --batch-size, or fewer --actors, if memory ran out"
                )
        self._todo.extendleft(reversed(pieces))
        yield from ()


@dataclass
class RayMeasuring(ShareEngine):
    """Measures on a Ray cluster, for ``evaluate_run``; run and data must have the same paths on all machines.

    Args:
        address, actors, gpus_per_actor: as for ``RayEngine``.

    Raises:
        UnavailableError: when Ray is not installed.
        UsageError: when a number makes no sense, or there is no cluster at the address.
    """

    address: str
    actors: int | None = None
    gpus_per_actor: float | None = None

    def __post_init__(self) -> None:
        check_share(self.address, self.actors, self.gpus_per_actor)

    def states(
        self,
        run: Path,
        choice: DataChoice,
        computing: Computing,
        prompting: Prompting,
        tiling: Tiling | None,
        images: int,
        on_images: Callable[[int], None],
    ) -> list[list[Any]]:
        """The states of all shares, in their order."""
        folder = None if choice.data_dir is None else os.path.abspath(choice.data_dir)
        data = choice.data
        if isinstance(data, str) and registry.is_path(data):
            data = os.path.abspath(data)
        job = MeasuringJob(
            os.path.abspath(run),
            replace(choice, data=data, data_dir=folder),
            replace(computing, devices=1, show_progress=False),
            replace(prompting, prompts=absolute_prompts(prompting.prompts)),
            tuple(os.path.abspath(path) for path in loaded_paths()),
            tiling,
        )
        found: dict[int, list[Any]] = {}
        with connected(self.address, self.actors, self.gpus_per_actor, MeasuringWorker) as pool:
            size = pool.share.actors
            shares = max(1, min(SHARES_PER_ACTOR * size, -(-images // computing.batch_size)))
            team = MeasuringTeam(pool, job, shares, images, min(size, shares), uuid.uuid4().hex[:8])
            for share, states in team.results():
                found[share] = states
                on_images(len(range(share, images, shares)))
        return [found[share] for share in range(shares)]
