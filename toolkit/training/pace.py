"""How fast a run goes, how long it will still take, and when it is time for another line about it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean

RECENT = 50
"""Steps that the pace is taken from."""
MOST_SECONDS = 30.0
"""Seconds between two lines at most, while steps are that quick."""
LEAST_SECONDS = 2.0
"""Seconds between two lines at least, but for the tenths of a run."""
LEAST_LINES = 10
"""Lines that a run has at least, however short it is; fewer where it has fewer steps."""
TRUSTED_STEPS, TRUSTED_SECONDS = 5, 3.0
"""A pace is believed after so many steps, once they have taken so long."""


class Clock:
    """Where the time goes: images per second, and the part of the time spent waiting for data."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self.began, self.waited, self.images = time.perf_counter(), 0.0, 0

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count what happens inside as waiting."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def figures(self) -> dict[str, float]:
        """The figures since the last call; ``images`` is counted up by the caller."""
        passed = max(time.perf_counter() - self.began, 1e-9)
        figures = {"images_per_second": self.images / passed, "data_wait": self.waited / passed}
        self._restart()
        return figures


class Pace:
    """Times the steps and the validations of a run.

    Args:
        start: steps that were done before.
        steps: steps in all.
        eval_every: steps from one validation to the next; None where there are none.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        start: int,
        steps: int,
        eval_every: int | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.start, self.steps, self.eval_every, self.clock = start, steps, eval_every, clock
        self.began = self._mark = clock()
        self._durations: deque[float] = deque(maxlen=RECENT)
        self._validations: list[float] = []
        self._timed = 0
        self._said, self._said_step = self.began, start

    def stepped(self) -> None:
        """A step has been done."""
        now = self.clock()
        # The first step of a run prepares much that the others find ready.
        if self._timed == 1:
            self._durations.clear()
        self._durations.append(now - self._mark)
        self._timed += 1
        self._mark = now

    @contextmanager
    def validating(self) -> Iterator[None]:
        """What happens inside is a validation, and no part of a step."""
        began = self.clock()
        yield
        self._mark = self.clock()
        self._validations.append(self._mark - began)

    @property
    def seconds_per_step(self) -> float:
        """Mean over the recent steps; NaN before the first."""
        return fmean(self._durations) if self._durations else math.nan

    @property
    def is_trusted(self) -> bool:
        """Whether enough steps were timed to say how long the run will take."""
        return self._timed > TRUSTED_STEPS and sum(self._durations) >= TRUSTED_SECONDS

    def seconds_left(self, step: int) -> float:
        """How long the rest of the run takes after ``step`` steps; NaN when nothing is known yet. Validations
        count once one was timed.
        """
        left = (self.steps - step) * self.seconds_per_step
        if self._validations:
            left += self._validations_after(step) * fmean(self._validations)
        return left

    def _validations_after(self, step: int) -> int:
        if self.eval_every is None or step >= self.steps:
            return 0
        return math.ceil(self.steps / self.eval_every) - step // self.eval_every

    def line_is_due(self, step: int) -> bool:
        """Whether it is time for another line after ``step`` steps; says so once each time."""
        now = self.clock()
        interval = min(MOST_SECONDS, max(LEAST_SECONDS, (now - self.began) / 4))
        tenth = (self.steps - self.start) / LEAST_LINES
        passed_tenth = (step - self.start) // tenth > (self._said_step - self.start) // tenth
        if not (passed_tenth or now - self._said >= interval or step == self.steps):
            return False
        self._said, self._said_step = now, step
        return True
