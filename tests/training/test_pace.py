"""How long a run takes, and when another line about it is due."""

from __future__ import annotations

import itertools
import math

import pytest

from toolkit.training.pace import LEAST_LINES, MOST_SECONDS, TRUSTED_STEPS, Clock, Pace


class Time:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(pace: Pace, time: Time, first: int, last: int, seconds: float) -> list[int]:
    """Steps of so many seconds; those after which a line is due."""
    lines = []
    for step in range(first, last + 1):
        time.now += seconds
        pace.stepped()
        if pace.line_is_due(step):
            lines.append(step)
    return lines


def test_nothing_is_known_before_the_first_step() -> None:
    pace = Pace(0, 10, 5, Time())
    assert math.isnan(pace.seconds_left(0))
    assert not pace.is_trusted


def test_the_first_step_which_prepares_everything_counts_only_while_it_is_alone() -> None:
    time = Time()
    pace = Pace(0, 10, None, time)
    run(pace, time, 1, 1, 60.0)
    assert pace.seconds_left(1) == pytest.approx(9 * 60)
    run(pace, time, 2, 4, 2.0)
    assert pace.seconds_left(4) == pytest.approx(6 * 2.0)


def test_validations_are_no_part_of_steps_and_count_for_the_rest() -> None:
    time = Time()
    pace = Pace(0, 25, 10, time)
    run(pace, time, 1, 10, 1.0)
    with pace.validating():
        time.now += 30.0
    run(pace, time, 11, 12, 1.0)
    assert pace.seconds_per_step == pytest.approx(1.0)
    assert pace.seconds_left(12) == pytest.approx(13 * 1.0 + 2 * 30.0), "at step 20 and at the end"
    assert pace.seconds_left(25) == 0.0


@pytest.mark.parametrize(("steps", "every", "step", "left"), [(20, 10, 10, 1), (20, 10, 9, 2), (7, 10, 3, 1)])
def test_validations_that_are_left(steps: int, every: int, step: int, left: int) -> None:
    assert Pace(0, steps, every, Time())._validations_after(step) == left


def test_a_pace_is_trusted_after_steps_and_seconds() -> None:
    time = Time()
    quick, slow = Pace(0, 1000, None, time), Pace(0, 1000, None, time)
    run(quick, time, 1, 100, 0.01)
    assert not quick.is_trusted
    run(slow, time, 1, TRUSTED_STEPS, 10.0)
    assert not slow.is_trusted
    run(slow, time, TRUSTED_STEPS + 1, TRUSTED_STEPS + 1, 10.0)
    assert slow.is_trusted


def test_a_short_run_has_ten_lines_at_least() -> None:
    time = Time()
    assert run(Pace(0, 1000, None, time), time, 1, 1000, 0.001) == list(range(100, 1001, 100))
    assert run(Pace(0, 3, None, time), time, 1, 3, 0.001) == [1, 2, 3]
    resumed = run(Pace(90, 100, None, time), time, 91, 100, 0.001)
    assert len(resumed) == LEAST_LINES


def test_a_long_run_has_more_lines_at_first_and_then_one_every_half_minute() -> None:
    time = Time()
    lines = run(Pace(0, 100_000, None, time), time, 1, 3_600, 1.0)
    gaps = [after - before for before, after in itertools.pairwise(lines)]
    assert lines[0] == 2
    assert sorted(gaps) == gaps
    assert gaps[-1] == MOST_SECONDS
    assert 120 <= len(lines) <= 150


def test_images_a_second_and_the_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr("toolkit.training.pace.time.perf_counter", time)
    clock = Clock()
    with clock.waiting_for_data():
        time.now += 1.0
    time.now += 3.0
    clock.images += 8
    assert clock.figures() == {"images_per_second": 2.0, "data_wait": 0.25}
    time.now += 1.0
    assert clock.figures() == {"images_per_second": 0.0, "data_wait": 0.0}
