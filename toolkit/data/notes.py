"""Counts what readers leave out or handle in a special way, if somebody wants to know: objects that are
skipped, files that are ignored, images without a label file.

These are not errors, but none of it happens silently: ``toolkit data check`` and ``toolkit data convert``
print the counts, and other commands log what is noticed when a dataset is opened.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

logger = logging.getLogger("toolkit")

_counted: ContextVar[Counter[str] | None] = ContextVar("counted", default=None)


@contextmanager
def noting() -> Iterator[Counter[str]]:
    """Count the notes of readers by description, in this thread and within this context."""
    counts = Counter[str]()
    token = _counted.set(counts)
    try:
        yield counts
    finally:
        _counted.reset(token)


def note(what: str, count: int = 1, *, log: bool = False) -> None:
    """Note something that is not an error but is worth knowing.

    Args:
        what: a description, such as ``objects without an area are left out (degenerate=skip)``.
        count: how many.
        log: log it immediately if nobody is counting; for what is noticed when a dataset is opened, not for
            what is noticed in each sample.
    """
    counts = _counted.get()
    if not count:
        return
    if counts is not None:
        counts[what] += count
    elif log:
        logger.info("%s", note_line(what, count))


def announce(what: str, setting: str, value: str) -> None:
    """When a dataset is opened, log that a setting leaves things out, unless they are being counted.

    Args:
        what: a description, such as ``objects without an area are left out``.
        setting: the dataset's setting.
        value: its value.
    """
    if _counted.get() is None:
        logger.info("%s (%s=%s); `toolkit data check` counts them", what, setting, value)


def note_line(what: str, count: int) -> str:
    """A note in printed form."""
    return f"{what}: {count}"
