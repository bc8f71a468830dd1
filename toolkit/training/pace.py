"""The speed of a run, its remaining time, and when another progress line is due."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean

RECENT = 50
"""Number of recent steps from which the speed is computed."""
MOST_SECONDS = 30.0
"""Longest time between two lines in seconds, as long as steps are quicker than that."""
LEAST_SECONDS = 2.0
"""Shortest time between two lines in seconds, except at each tenth of a run."""
LEAST_LINES = 10
"""Smallest number of lines, however short the run is; fewer if it has fewer steps."""
TRUSTED_STEPS, TRUSTED_SECONDS = 5, 3.0
"""The speed is trusted after this many steps and this many seconds."""


class Clock:
    """Measures images per second, and the fraction of the time spent waiting for data."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self.began, self.waited, self.images = time.perf_counter(), 0.0, 0

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count the time in this context as waiting."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def figures(self) -> dict[str, float]:
        """The figures since the last call; the caller increments ``images``."""
        passed = max(time.perf_counter() - self.began, 1e-9)
        figures = {"images_per_second": self.images / passed, "data_wait": self.waited / passed}
        self._restart()
        return figures


class Pace:
    """Times the steps and the validations of a run.

    Args:
        start: number of steps done before.
        steps: total number of steps.
        eval_every: steps from one validation to the next; None if there are none.
        clock: returns the time in seconds.
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
        """Record that a step has been done."""
        now = self.clock()
        # The first step of a run is slow, because it includes one-time preparations.
        if self._timed == 1:
            self._durations.clear()
        self._durations.append(now - self._mark)
        self._timed += 1
        self._mark = now

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Count the time in this context as a validation, not as part of a step."""
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
        """Whether enough steps were timed to estimate how long the run will take."""
        return self._timed > TRUSTED_STEPS and sum(self._durations) >= TRUSTED_SECONDS

    def seconds_left(self, step: int) -> float:
        """The remaining time of the run after ``step`` steps; NaN when nothing is known yet. Validations
        are included once one has been timed.
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
        """Whether another line is due after ``step`` steps; true only once each time."""
        now = self.clock()
        interval = min(MOST_SECONDS, max(LEAST_SECONDS, (now - self.began) / 4))
        tenth = (self.steps - self.start) / LEAST_LINES
        passed_tenth = (step - self.start) // tenth > (self._said_step - self.start) // tenth
        if not (passed_tenth or now - self._said >= interval or step == self.steps):
            return False
        self._said, self._said_step = now, step
        return True
