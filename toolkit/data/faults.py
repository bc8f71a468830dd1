"""Faults of a dataset: raised at once where it is used, and gathered where it is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from toolkit.errors import DataError

T = TypeVar("T")
R = TypeVar("R")

_gathered: ContextVar[list[str] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering() -> Iterator[list[str]]:
    """Note faults in a list, in this thread, instead of raising them, for as long as this lasts."""
    faults: list[str] = []
    token = _gathered.set(faults)
    try:
        yield faults
    finally:
        _gathered.reset(token)


def is_gathering() -> bool:
    """Whether faults are noted here."""
    return _gathered.get() is not None


def fault(error: DataError) -> None:
    """Raise an error, or, where faults are gathered, note it and go on without what it is about."""
    faults = _gathered.get()
    if faults is None:
        raise error
    faults.append(str(error))


def usable(records: Iterable[T], read: Callable[[T], R]) -> Iterator[R]:
    """What ``read`` makes of each record; where faults are gathered, one that it refuses is left out."""
    for record in records:
        try:
            yield read(record)
        except DataError as error:
            fault(error)


def together(first: Callable[[], T], second: Callable[[], R]) -> tuple[T, R]:
    """What two readers give; where faults are gathered, the second is tried even when the first has failed.

    Raises:
        DataError: when either fails.
    """
    try:
        found = first()
    except DataError:
        if is_gathering():
            try:
                second()
            except DataError as error:
                fault(error)
        raise
    return found, second()
