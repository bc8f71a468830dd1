"""What ``Crew`` needs of a cluster; in tests, a few threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable
from typing import Any


class Died(Exception):  # noqa: N818 - it is no error of the work
    """The process that should have answered is gone; says why."""


class Pool(ABC):
    """Processes, and the answers that they owe."""

    @abstractmethod
    def start(self, name: str) -> Any:
        """Ask for a process with a ``Worker`` of this name; it may begin much later."""

    @abstractmethod
    def submit(self, process: Any, method: str, *arguments: Any) -> Hashable:
        """Call a method of its worker, after those that were called before; returns the answer that will
        come.
        """

    @abstractmethod
    def wait(self, answers: Collection[Hashable], seconds: float) -> list[Hashable]:
        """Those that have come, or whose process has died; waits for the first one, this long at most."""

    @abstractmethod
    def answer(self, answer: Hashable) -> Any:
        """The value of an answer that has come.

        Raises:
            Died: when the process has died.
        """

    @abstractmethod
    def stop(self, process: Any) -> None:
        """End a process."""

    @abstractmethod
    def shortage(self) -> str:
        """What processes need, and what the cluster has, in words."""
