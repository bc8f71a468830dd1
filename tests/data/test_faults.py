"""Faults are raised where data are used, and gathered where they are checked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit.data.faults import fault, gathering, is_gathering, together, usable
from toolkit.errors import DataError


def odd(number: int) -> int:
    if number % 2 == 0:
        raise DataError(f"{number} is even")
    return number


def test_a_fault_is_raised_where_nobody_gathers() -> None:
    assert not is_gathering()
    with pytest.raises(DataError, match="wrong"):
        fault(DataError("wrong"))
    with pytest.raises(DataError, match="2 is even"):
        list(usable([1, 2, 3], odd))


def test_gathering_goes_on() -> None:
    with gathering() as faults:
        assert is_gathering()
        assert list(usable([1, 2, 3, 4], odd)) == [1, 3]
        fault(DataError("wrong"))
    assert faults == ["2 is even", "4 is even", "wrong"]
    assert not is_gathering()


def test_gathering_ends_with_an_error_and_stays_in_its_thread() -> None:
    with pytest.raises(ZeroDivisionError), gathering():
        raise ZeroDivisionError
    assert not is_gathering()
    with gathering(), ThreadPoolExecutor(1) as pool:
        assert not pool.submit(is_gathering).result()


def test_together() -> None:
    assert together(lambda: odd(1), lambda: odd(3)) == (1, 3)
    with pytest.raises(DataError, match="2 is even"):
        together(lambda: odd(2), lambda: odd(4))
    with gathering() as faults, pytest.raises(DataError, match="2 is even"):
        together(lambda: odd(2), lambda: odd(4))
    assert faults == ["4 is even"]
