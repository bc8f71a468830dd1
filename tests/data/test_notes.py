"""What readers note is counted where somebody wants to know, and logged or forgotten elsewhere."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit.data.notes import note, noting


def test_it_is_counted_by_description() -> None:
    with noting() as counts:
        note("lines")
        note("points", 3)
        note("lines")
        note("nothing", 0)
    assert counts == {"lines": 2, "points": 3}
    note("lines")
    assert counts == {"lines": 2, "points": 3}


def test_the_inner_count_is_apart_from_the_outer() -> None:
    with noting() as outer:
        with noting() as inner:
            note("a")
        note("b")
    assert (outer, inner) == ({"b": 1}, {"a": 1})


def test_each_thread_counts_for_itself() -> None:
    def work(number: int) -> int:
        with noting() as counts:
            note("a", number)
        return counts["a"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(1, 9))) == [*range(1, 9)]


def test_what_is_seen_at_once_is_logged_where_nobody_counts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toolkit")
    note("images without labels", 2, log=True)
    note("objects without an area", 5)
    note("nothing", 0, log=True)
    with noting():
        note("files", 7, log=True)
    assert [record.getMessage() for record in caplog.records] == ["images without labels: 2"]
