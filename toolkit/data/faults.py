"""Errors of a dataset: raised immediately when it is used, and collected when it is checked."""

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
    """Collect errors in a list instead of raising them, in this thread and within this context."""
    faults: list[str] = []
    token = _gathered.set(faults)
    try:
        yield faults
    finally:
        _gathered.reset(token)


def is_gathering() -> bool:
    """Whether errors are being collected in this thread."""
    return _gathered.get() is not None


def fault(error: DataError) -> None:
    """Raise an error, or, if errors are being collected, record it and continue without the affected item."""
    faults = _gathered.get()
    if faults is None:
        raise error
    faults.append(str(error))


def usable(records: Iterable[T], read: Callable[[T], R]) -> Iterator[R]:
    """The results of ``read`` for all records; if errors are being collected, records that it refuses are
    left out.
    """
    for record in records:
        try:
            yield read(record)
        except DataError as error:
            fault(error)


def together(first: Callable[[], T], second: Callable[[], R]) -> tuple[T, R]:
    """The results of two readers; if errors are being collected, the second is tried even if the first has
    failed.

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
