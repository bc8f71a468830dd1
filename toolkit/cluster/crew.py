"""The processes of a command: they get chunks of images as they become free, come and go, and what one has
not done when it dies goes to another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.cluster.handout import HandOut
from toolkit.cluster.job import Introduction, Job, Problem, versions
from toolkit.cluster.pool import Died, Pool
from toolkit.errors import ToolkitError, UsageError
from toolkit.inference.inputs import InputImage
from toolkit.inference.records import PARTS, Record, latest_records
from toolkit.inference.results import ResultFolder
from toolkit.wording import counted

logger = logging.getLogger("toolkit")

START_SECONDS = 25.0
"""How long no process may be there before the work ends with an error."""
AHEAD = 2
"""Number of chunks that a process has at a time, so that it never waits for the next one."""
MOST_FALSE_STARTS = 2
"""Deaths per process before it has loaded the model, after which no other one takes its place."""
MOST_DEATHS = 3
"""Deaths per process without an image done in between, after which the work ends with an error; one image
that processes die with must cost fewer.
"""


@dataclass
class Member:
    """A process of the crew.

    Attributes:
        name: of its worker and its manifest.
        process: that the pool knows.
        host: its machine, when it has introduced itself.
        is_open: whether it has loaded the model.
        images, seconds: what it has done, and how long this took.
    """

    name: str
    process: Any
    host: str = ""
    is_open: bool = False
    images: int = 0
    seconds: float = 0.0

    @property
    def pace(self) -> float | None:
        """Images per second, when it is known."""
        return self.images / self.seconds if self.seconds else None


@dataclass
class Crew:
    """The processes that predict images together.

    Args:
        pool: where they run.
        job: what they are told.
        hand_out: the images.
        results: the folder of the results.
        size: number of processes.
        label: begins the name of each, and is unique for each command.
    """

    pool: Pool
    job: Job
    hand_out: HandOut
    results: ResultFolder
    size: int
    label: str
    _members: list[Member] = field(default_factory=list)
    _left: list[Member] = field(default_factory=list)
    _owed: dict[Hashable, tuple[Member, list[InputImage]]] = field(default_factory=dict)
    _deaths: int = 0  # since the last image was done
    _false_starts: int = 0
    _seen: float = 0.0

    def records(self) -> Generator[Record, None, None]:
        """Those of all images, as they are done.

        Raises:
            UsageError: when no process can start, or other versions are installed where it runs.
            ToolkitError: what a process raised that is not about one image, such as a checkpoint that cannot
                be loaded; or when processes die before anything is done.
        """
        if self.hand_out.is_empty():
            return
        try:
            for _ in range(self.size):
                self._start()
            self._seen = time.monotonic()
            while self._chunks() or not self.hand_out.is_empty():
                self._fill()
                answers = self.pool.wait(self._owed, 1.0)
                for answer in answers:
                    yield from self._take(answer)
                self._check_that_someone_is_there()
        finally:
            for member in self._members:
                self.pool.stop(member.process)

    def lines(self) -> list[str]:
        """What each process has done, in words."""
        return [
            f"{member.name} on {member.host}: {counted(member.images, 'image')}, {member.pace:.1f} images/s"
            for member in [*self._left, *self._members]
            if member.pace is not None
        ]

    def _start(self) -> None:
        name = f"{self.label}-{len(self._left) + len(self._members) + 1}"
        member = Member(name, self.pool.start(name))
        self._members.append(member)
        self._ask(member, "introduce")

    def _ask(self, member: Member, method: str, *arguments: Any, chunk: Sequence[InputImage] = ()) -> None:
        self._owed[self.pool.submit(member.process, method, *arguments)] = (member, list(chunk))

    def _chunks(self, of: Member | None = None) -> list[list[InputImage]]:
        """The chunks that are being predicted, in the order in which they were handed out."""
        owed = self._owed.values()
        return [chunk for member, chunk in owed if chunk and (of is None or member is of)]

    def _fill(self) -> None:
        """Give those that are free the next chunks; the first one to all before the second one to any."""
        for ahead in range(1, AHEAD + 1):
            for member in self._members:
                if member.is_open and len(self._chunks(member)) < ahead:
                    chunk = self.hand_out.take(member.pace)
                    if chunk:
                        self._ask(member, "predict", chunk, chunk=chunk)

    def _take(self, answer: Hashable) -> Iterator[Record]:
        """What follows from an answer."""
        if answer not in self._owed:
            return
        member = self._owed[answer][0]
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
            self._check_versions(value)
            self._ask(member, "open", self.job)
            return
        if value is None:
            member.is_open = True
            return
        records, seconds = value
        self._deaths = 0
        member.images, member.seconds = member.images + len(records), member.seconds + seconds
        for record in records:
            self.results.settle(record)
            yield record

    def _lose(self, member: Member, reason: str) -> Iterator[Record]:
        """Give what a dead process has not done to others, and start another one."""
        chunks = self._chunks(member)
        self._owed = {answer: owed for answer, owed in self._owed.items() if owed[0] is not member}
        self._members.remove(member)
        self._left.append(member)
        recorded = self._recorded(member)
        for place, chunk in enumerate(chunks):
            for image in chunk:
                if image.name in recorded:
                    self._deaths = -1
                    member.images += 1
                    self.results.settle(recorded[image.name])
                    yield recorded[image.name]
            rest = [image for image in chunk if image.name not in recorded]
            for image in self.hand_out.give_back(rest, died=place == 0):
                error = f"{image.where} cannot be predicted: the process died each time ({reason})"
                record = self.results.failed(image, error)
                self.results.append(record)
                yield record
        self._deaths += 1
        where = f"on {member.host}" if member.host else "before it began"
        if self._deaths > MOST_DEATHS * (self.size + 1):
            raise ToolkitError(
                f"{counted(self._deaths, 'process', 'processes')} of the cluster died one after another, the"
                f" last one {where}: {reason}. Hint: what is done is kept; mend this, then add --resume"
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

    def _recorded(self, member: Member) -> dict[str, Record]:
        """What a process has entered in its manifest."""
        known = Record.__dataclass_fields__
        return {
            each["image"]: Record(**{key: value for key, value in each.items() if key in known})
            for each in latest_records(self.results.folder / PARTS / f"{member.name}.jsonl")
        }

    def _check_versions(self, there: Introduction) -> None:
        here = versions()
        for name, version in here.items():
            if there.versions.get(name) != version:
                raise UsageError(
                    f"{there.host} has {name} {there.versions.get(name)}, but this machine has {version}."
                    " Hint: install the same version on all machines"
                )

    def _check_that_someone_is_there(self) -> None:
        now = time.monotonic()
        if any(member.host for member in self._members):
            self._seen = now
        elif now - self._seen > START_SECONDS:
            raise UsageError(
                f"no process of the cluster began within {START_SECONDS:.0f} s: {self.pool.shortage()}. Hint:"
                " wait until the cluster has room, or ask for less by --actors and --gpus-per-actor"
            )
