"""The processes that read images: they leave signals to the process that started them, and if one dies, a
clear error says so.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from toolkit.errors import LoaderError

T = TypeVar("T")

HANDLED = {signal.SIGINT, signal.SIGTERM}
"""Signals that a terminal, SLURM and Kubernetes send to all processes of a run at once. The main process
finishes the current step, for which it needs the loader processes.
"""


def leave_signals_to_the_main_process(number: int = 0) -> None:
    """Ignore Ctrl-C, and the first SIGTERM; to be called in a process that reads images.

    Args:
        number: the number of the process, which torch passes to a ``worker_init_fn``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_once)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _ignore_once(number: int, frame: FrameType | None) -> None:
    """The main process sends a second SIGTERM to a process that hangs."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def starting() -> Iterator[None]:
    """A context in which to start processes that read images: no signal reaches a process before it ignores
    signals, and torch does not raise an error about the death of a process wherever the main process happens
    to be, such as between updating the weights and the moments of an optimizer; a death is noticed where
    images are waited for.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    on_death = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if on_death is not None:
            signal.signal(signal.SIGCHLD, on_death)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_processes(batches: Iterator[object]) -> None:
    """End the processes of a ``DataLoader``'s iterator now.

    Otherwise they may end late: an error's traceback holds the iterator in a cycle, and the garbage collector
    first ends the threads that would tell the processes to stop. The iterator then waits ten seconds for
    each.
    """
    shut_down = getattr(batches, "_shutdown_workers", None)  # missing if no processes read
    if shut_down is not None:
        shut_down()


def naming_deaths(batches: Iterator[T], processes: int) -> Iterator[T]:
    """The same batches, with a clear error if a process dies.

    Args:
        batches: the batches of a ``DataLoader``.
        processes: number of processes that read images; 0 if this process reads them.

    Raises:
        LoaderError: when one of them has died.
    """
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
            if not processes or not _is_death(error):
                raise
            what = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise LoaderError(
                f"a process that reads images was stopped, usually because memory ran out ({what}). Hint:"
                " use fewer of them (train.workers=1, or 0 for none), smaller batches, or more memory; in a"
                " container, a larger /dev/shm"
            ) from None
        yield batch


def _is_death(error: Exception) -> bool:
    """Whether an error says that a process has died; torch passes on errors of datasets with "Caught …". If a
    process dies while its images are being fetched, the connection to it breaks.
    """
    said = str(error)
    if isinstance(error, RuntimeError):
        return any(words in said for words in ("exited unexpectedly", "killed by signal", "Bus error"))
    return not said.startswith("Caught ")
