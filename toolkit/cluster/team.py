"""The processes of a command: they get work as they become free, come and go, and what one has not done when
it dies goes to another.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from toolkit.cluster.job import Introduction, Problem, versions
from toolkit.cluster.pool import Died, Pool
from toolkit.errors import ToolkitError, UsageError
from toolkit.wording import counted

logger = logging.getLogger("toolkit")

START_SECONDS = 15.0
"""How long no process may be there before the work ends with an error, if there is no room for one."""
SLOW_START_SECONDS = 180.0
"""The same if there is room: libraries may come over a slow network, or the machine may be busy."""
AHEAD = 2
"""Number of pieces of work that a process has at a time, so that it never waits for the next one."""
MOST_FALSE_STARTS = 2
"""Deaths per process before it has loaded the model, after which no other one takes its place."""
MOST_DEATHS = 3
"""Deaths per process without anything done in between, after which the work ends with an error; one image
that processes die with must cost fewer.
"""

Piece = TypeVar("Piece", bound=Sequence[Any])
Result = TypeVar("Result")


@dataclass
class Member:
    """A process of the team.

    Attributes:
        name: of its worker, unique in all commands.
        process: that the pool knows.
        host: its machine, when it has introduced itself.
        is_open: whether it has loaded the model.
        images, seconds: what it has done, and how long this took.
        pieces: what it is doing, by the answer that it owes, in the order in which it was handed out.
    """

    name: str
    process: Any
    host: str = ""
    is_open: bool = False
    images: int = 0
    seconds: float = 0.0
    pieces: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def pace(self) -> float | None:
        """Images per second, when it is known."""
        return self.images / self.seconds if self.seconds else None

    def line(self) -> str:
        """What it has done, in words."""
        pace = "" if self.pace is None else f", {self.pace:.1f} images/s"
        return f"{self.name} on {self.host}: {counted(self.images, 'image')}{pace}"


class Team(ABC, Generic[Piece, Result]):
    """Processes that do pieces of work together.

    A worker has the methods ``introduce``, ``open`` and the one that does the work; each answers with a value
    or a ``Problem``.

    Args:
        pool: where they run.
        job: what they are told.
        method: of a worker, which gets a piece of work.
        size: number of processes.
        label: begins the name of each, and is unique for each command.

    Attributes:
        advice: what to do when processes keep dying.
    """

    advice = "mend this, and give the command again"

    def __init__(self, pool: Pool, job: Any, method: str, size: int, label: str) -> None:
        self.pool, self.job, self.method, self.size, self.label = pool, job, method, size, label
        self._members: list[Member] = []
        self._left: list[Member] = []
        self._owed: dict[Hashable, Member] = {}
        self._deaths = 0  # since something was done
        self._false_starts = 0
        self._seen = 0.0

    @abstractmethod
    def is_done(self) -> bool:
        """Whether no work is left to hand out."""

    @abstractmethod
    def next_piece(self, member: Member) -> Piece | None:
        """The next piece of work for a process; None when there is none now."""

    @abstractmethod
    def take(self, member: Member, piece: Piece, value: Any) -> Iterator[Result]:
        """What follows from the answer to a piece of work."""

    @abstractmethod
    def take_back(self, member: Member, pieces: Sequence[Piece], reason: str) -> Iterator[Result]:
        """Keep what a dead process had, so that others get it. The first one is what it died with; if
        something of these was done after all, call ``did_something``.
        """

    def did_something(self) -> None:
        """Note that the work goes forward."""
        self._deaths = 0

    def results(self) -> Generator[Result, None, None]:
        """Those of all pieces, as they are done.

        Raises:
            UsageError: when no process can start, or other versions are installed where it runs.
            ToolkitError: what a process raised, such as a checkpoint that cannot be loaded; or when processes
                die before anything is done.
        """
        if self.is_done():
            return
        try:
            for _ in range(self.size):
                self._start()
            self._seen = time.monotonic()
            while any(member.pieces for member in self._members) or not self.is_done():
                self._fill()
                for answer in self.pool.wait(self._owed, 1.0):
                    yield from self._answered(answer)
                self._check_that_someone_is_there()
        finally:
            for member in self._members:
                self.pool.stop(member.process)

    def lines(self) -> list[str]:
        """What each process has done, in words."""
        return [member.line() for member in [*self._left, *self._members] if member.images]

    def _start(self) -> None:
        name = f"{self.label}-{len(self._left) + len(self._members) + 1}"
        member = Member(name, self.pool.start(name))
        self._members.append(member)
        self._ask(member, "introduce")

    def _ask(self, member: Member, method: str, *arguments: Any) -> Hashable:
        answer = self.pool.submit(member.process, method, *arguments)
        self._owed[answer] = member
        return answer

    def _fill(self) -> None:
        """Give those that are free the next piece; the first one to all before the second one to any."""
        for ahead in range(1, AHEAD + 1):
            for member in self._members:
                if member.is_open and len(member.pieces) < ahead:
                    piece = self.next_piece(member)
                    if piece is not None:
                        member.pieces[self._ask(member, self.method, piece)] = piece

    def _answered(self, answer: Hashable) -> Iterator[Result]:
        """What follows from an answer."""
        if answer not in self._owed:
            return
        member = self._owed[answer]
        try:
            value = self.pool.answer(answer)
        except Died as death:
            yield from self._lose(member, str(death))
            return
        del self._owed[answer]
        if isinstance(value, Problem):
            raise value.error()
        if isinstance(value, Introduction):
            member.host = value.host
            check_versions(value.host, value.versions)
            self._ask(member, "open", self.job)
        elif answer in member.pieces:
            self.did_something()
            yield from self.take(member, member.pieces.pop(answer), value)
        else:
            member.is_open = True

    def _lose(self, member: Member, reason: str) -> Iterator[Result]:
        """Give what a dead process has not done to others, and start another one."""
        pieces = list(member.pieces.values())
        member.pieces.clear()
        self._owed = {answer: owed for answer, owed in self._owed.items() if owed is not member}
        self._members.remove(member)
        self._left.append(member)
        self._deaths += 1
        yield from self.take_back(member, pieces, reason)
        where = f"on {member.host}" if member.host else "before it began"
        if self._deaths > MOST_DEATHS * (self.size + 1):
            raise ToolkitError(
                f"{counted(self._deaths, 'process', 'processes')} of the cluster died one after another, the"
                f" last one {where}: {reason}. Hint: {self.advice}"
            )
        self._false_starts += not member.is_open
        if self._false_starts < MOST_FALSE_STARTS * self.size:
            logger.warning("%s died %s (%s); another process takes over", member.name, where, reason)
            self._start()
        elif self._members:
            logger.warning("%s died %s (%s); the others go on without it", member.name, where, reason)
        else:
            raise ToolkitError(
                f"no process of the cluster could load the model; the last one died {where}: {reason}. Hint:"
                " check the memory of the machines, or ask for fewer processes by --actors"
            )

    def _check_that_someone_is_there(self) -> None:
        now = time.monotonic()
        if any(member.host for member in self._members):
            self._seen = now
            return
        limit = SLOW_START_SECONDS if self.pool.has_room() else START_SECONDS
        if now - self._seen > limit:
            raise UsageError(
                f"no process of the cluster began within {limit:.0f} s: {self.pool.shortage()}. Hint:"
                " wait until the cluster has room, or ask for less by --actors and --gpus-per-actor"
            )


def check_versions(host: str, there: Mapping[str, str]) -> None:
    """Refuse a process that would not do the same as this one.

    Raises:
        UsageError: when a version on its machine is not that of this one.
    """
    for name, version in versions().items():
        if there.get(name) != version:
            raise UsageError(
                f"{host} has {name} {there.get(name)}, but this machine has {version}. Hint: install the same"
                " version on all machines"
            )
