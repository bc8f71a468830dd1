"""Processes that do pieces of any work: each piece counts once, whoever dies, and what ends the work."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from cluster_cases import Bright, FakePool

from toolkit.cluster import team
from toolkit.cluster.job import Introduction, Problem, introduction, versions
from toolkit.cluster.team import AHEAD, MOST_DEATHS, MOST_FALSE_STARTS, Member, Team, check_versions
from toolkit.errors import CheckpointError, ToolkitError, UsageError


class Doubler:
    """A worker that doubles numbers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def introduce(self) -> Introduction:
        return introduction()

    def open(self, job: str) -> Problem | None:
        return Problem.of(CheckpointError("no model"), "here") if job == "no model" else None

    def double(self, numbers: Sequence[int]) -> list[int]:
        return [2 * number for number in numbers]


class Doubling(Team[list[int], int]):
    def __init__(self, pool: FakePool, count: int, size: int = 3, job: str = "double") -> None:
        super().__init__(pool, job, "double", size, "team")
        self.todo = deque([number] for number in range(count))
        self.most = 0

    def is_done(self) -> bool:
        return not self.todo

    def next_piece(self, member: Member) -> list[int] | None:
        self.most = max(self.most, len(member.pieces) + 1)
        return self.todo.popleft() if self.todo else None

    def take(self, member: Member, piece: list[int], value: Any) -> Iterator[int]:
        assert value == [2 * number for number in piece]
        member.images, member.seconds = member.images + 1, member.seconds + 0.5
        yield from value

    def take_back(self, member: Member, pieces: Sequence[list[int]], reason: str) -> Iterator[int]:
        self.todo.extend(pieces)
        yield from ()


def pool(**options: Any) -> FakePool:
    return FakePool(Bright, make=Doubler, **options)


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_every_piece_is_done_once(size: int, count: int) -> None:
    doubling = Doubling(pool(), count, size)
    assert sorted(doubling.results()) == list(range(0, 2 * count, 2))
    assert doubling.most <= AHEAD
    assert sum(int(line.split(": ")[1].split()[0]) for line in doubling.lines()) == count


@pytest.mark.parametrize("seed", range(20))
def test_whoever_dies(seed: int) -> None:
    chance = random.Random(seed)
    doubling = Doubling(pool(dies=lambda p, n: 0 if chance.random() < 0.2 else None, seed=seed), 60)
    assert sorted(doubling.results()) == list(range(0, 120, 2))


def test_processes_that_all_die_end_the_work() -> None:
    doubling = Doubling(pool(dies=lambda process, numbers: 0), 5)
    with pytest.raises(
        ToolkitError, match=r"died one after another, .* it was killed\. Hint: mend this, and give"
    ):
        list(doubling.results())
    assert len(doubling.pool.processes) == 3 + MOST_DEATHS * (3 + 1)


def test_processes_that_cannot_load_the_model_end_the_work() -> None:
    doubling = Doubling(pool(opens=lambda process: False), 5)
    with pytest.raises(
        ToolkitError, match=r"no process .* load the model; .* ran out of memory\. Hint: check"
    ):
        list(doubling.results())
    assert len(doubling.pool.processes) == 3 + MOST_FALSE_STARTS * 3 - 1


def test_a_machine_where_the_model_cannot_be_loaded_is_done_without() -> None:
    doubling = Doubling(pool(opens=lambda process: process.name == "team-1"), 30)
    assert sorted(doubling.results()) == list(range(0, 60, 2))
    assert len(doubling.pool.processes) <= 3 + MOST_FALSE_STARTS * 3


def test_a_problem_ends_the_work_and_all_processes() -> None:
    doubling = Doubling(pool(), 5, job="no model")
    with pytest.raises(CheckpointError, match="on here: no model"):
        list(doubling.results())
    assert all(process.is_dead for process in doubling.pool.processes)


@pytest.mark.parametrize("there", [{}, {"toolkit": "0.0.1", "Python": "3.11"}])
def test_other_versions_are_refused(there: dict[str, str]) -> None:
    message = r"has toolkit (None|0\.0\.1), but this machine has .* Hint: install the same version"
    with pytest.raises(UsageError, match=message):
        list(Doubling(pool(versions=there), 5).results())
    check_versions("here", versions())


def test_a_cluster_without_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "START_SECONDS", 0.0)
    with pytest.raises(UsageError, match="no process of the cluster began within .*: each needs a core"):
        list(Doubling(pool(begins=False), 5).results())


def test_processes_that_begin_slowly_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "START_SECONDS", 0.0)
    monkeypatch.setattr(team, "SLOW_START_SECONDS", 0.3)
    slow = Doubling(pool(begins=False), 5)
    slow.pool.room = True
    start = time.monotonic()
    with pytest.raises(UsageError, match="no process of the cluster began within 0 s"):
        list(slow.results())
    assert time.monotonic() - start >= 0.3
    assert sorted(Doubling(pool(), 5).results()) == [0, 2, 4, 6, 8]


def test_nothing_to_do_starts_no_process() -> None:
    doubling = Doubling(pool(), 0)
    assert list(doubling.results()) == []
    assert doubling.pool.processes == []
