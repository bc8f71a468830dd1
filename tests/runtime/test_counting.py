from __future__ import annotations

import pytest

from toolkit.runtime.counting import LINE_SECONDS, Counting


@pytest.fixture
def seconds() -> list[float]:
    return [0.0]


def count(seconds: list[float], step: float, total: int | None, *, show: bool = True) -> None:
    with Counting("measuring", show=show, clock=lambda: seconds[0]) as counting:
        counting.start(total, 2)
        for _ in range(6):
            seconds[0] += step
            counting.advance(3)


def test_quick_work_says_nothing_where_no_bar_can_be_drawn(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    count(seconds, LINE_SECONDS / 10, 20)
    assert capsys.readouterr() == ("", "")


def test_long_work_says_how_far_it_is_now_and_then(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    count(seconds, LINE_SECONDS / 2, 20)
    assert capsys.readouterr() == ("", "measuring: 8 of 20\nmeasuring: 14 of 20\nmeasuring: 20 of 20\n")


def test_a_notebook_gets_lines_as_a_log_does(
    seconds: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    count(seconds, LINE_SECONDS, 20)
    assert capsys.readouterr().err.splitlines()[-1] == "measuring: 20 of 20"


def test_nobody_knows_how_much_there_is(seconds: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    count(seconds, LINE_SECONDS, None)
    assert capsys.readouterr().err.splitlines()[0] == "measuring: 5"


def test_nothing_is_shown_that_is_not_wanted(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    count(seconds, LINE_SECONDS, 20, show=False)
    assert capsys.readouterr() == ("", "")
