"""Progress of work that is counted in images: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_SECONDS = 15.0
"""How often there is a line where no bar can be drawn, as in a notebook or a log; quick work has none."""


class Counting:
    """Shows on standard error how many images are done.

    Args:
        what: the word before the bar, such as ``"predicting"``.
        show: False shows nothing but what ``say`` says.
        clock: the time in seconds, for tests.
    """

    def __init__(self, what: str, *, show: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.show = what, show
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, force_jupyter=False)
        columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        draws = show and self.console.is_terminal
        self._bar = Progress(*columns, console=self.console, disable=not draws, transient=True)
        self._lines, self._clock = show and not draws, clock
        self._task: TaskID | None = None
        self._done = 0
        self._total: int | None = None
        self._last = clock()

    def __enter__(self) -> Counting:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, total: int | None, done: int = 0) -> None:
        """Say how much there is to do in all (None where nobody knows), and how much of it is done."""
        self._done, self._total = done, total
        self._task = self._bar.add_task(self.what, total=total, completed=done)

    def advance(self, count: int = 1) -> None:
        """Count images."""
        self._done += count
        if self._task is not None:
            self._bar.advance(self._task, count)
        if self._lines and self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            of = "" if self._total is None else f" of {self._total:,}"
            self.say(f"{self.what}: {self._done:,}{of}")

    def say(self, text: str) -> None:
        """A line for people, above the bar."""
        self.console.print(text, markup=False)
