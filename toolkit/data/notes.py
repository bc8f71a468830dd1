"""What readers leave out or take in a special way, counted where somebody wants to know: objects that are
skipped, files that are passed over, images without a label file.

These are no faults, but nothing of the kind happens without being told: ``toolkit data check`` and ``toolkit
data convert`` print the counts, and what is seen when a dataset is opened is logged elsewhere.
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
    """Count in this thread what readers note, by description, for as long as this lasts."""
    counts = Counter[str]()
    token = _counted.set(counts)
    try:
        yield counts
    finally:
        _counted.reset(token)


def note(what: str, count: int = 1, *, log: bool = False) -> None:
    """Note something that is no fault, but that one wants to know.

    Args:
        what: in words, such as ``objects without an area are left out (degenerate=skip)``.
        count: how many.
        log: where nobody counts, say it at once; for what is seen when a dataset is opened, not for what is
            seen in each sample.
    """
    counts = _counted.get()
    if not count:
        return
    if counts is not None:
        counts[what] += count
    elif log:
        logger.info("%s", note_line(what, count))


def note_line(what: str, count: int) -> str:
    """A note as it is printed."""
    return f"{what}: {count}"
