"""One process at a time in every folder that is written to."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from toolkit.errors import UsageError
from toolkit.runtime.files import is_unfinished, writing

logger = logging.getLogger("toolkit")

LOCK_FILE = ".toolkit.lock"
"""What the lock of a folder is called."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from writing to it for as long as this lasts.

    The lock goes with the process, however that ends. A folder that was made and holds nothing at the end is
    removed again.

    Raises:
        UsageError: when another process is writing there.
        OutputError: when the folder cannot be made or written to.
    """
    with writing(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with _held(folder / LOCK_FILE, _busy(folder)):
            yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Keep other processes from writing a file, and what belongs to it, for as long as this lasts.

    Raises:
        UsageError: when another process is writing it.
        OutputError: when its folder cannot be made or written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _held(lock_of(path), _busy(path)):
        yield


@contextlib.contextmanager
def waiting_for(path: Path, what: str) -> Iterator[None]:
    """As ``locked_file``, but wait for the other process, and say so.

    Args:
        path: the file; its folder must be there.
        what: the other process does, such as ``"downloading data.zip"``.
    """
    with _held(lock_of(path), waits=f"another process is {what}; waiting for it"):
        yield


def require_unlocked(folder: Path) -> None:
    """Look whether another process is writing to a folder, before anything is done; a lock that a killed
    process has left does not count.

    Raises:
        UsageError: when one is.
    """
    if not (folder / LOCK_FILE).is_file():
        return
    lock: BaseFileLock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(_busy(folder)) from None
    except (NotImplementedError, OSError):  # who wants to write there will be told
        return
    lock.release()


def lock_of(path: Path) -> Path:
    """Where the lock of a file is."""
    return path.with_name(f".{path.name}{LOCK_FILE}")


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is not there, or has nothing in it but what a killed process may have left of locks
    and of files that it had begun.

    Raises:
        OutputError: when it cannot be looked into.
    """
    with writing(folder):
        if not folder.exists():
            return True
        return folder.is_dir() and all(map(_is_left_by_killed, folder.iterdir()))


def _is_left_by_killed(path: Path) -> bool:
    is_ours = path.name == LOCK_FILE or is_unfinished(path)
    return is_ours and path.is_file() and not path.is_symlink()


def _busy(path: Path) -> str:
    return f"another process is writing to {path}. Hint: wait for it, or choose another place with --out"


@contextlib.contextmanager
def _held(path: Path, refusal: str = "", *, waits: str = "") -> Iterator[None]:
    lock: BaseFileLock = FileLock(path)
    with writing(path):
        try:
            _acquire(lock, waits)
        except Timeout:
            raise UsageError(refusal) from None
        except NotImplementedError:
            logger.info("%s is on a file system without locks: let one process at a time write there", path)
    try:
        yield
    finally:
        # Before the release, so that nobody can hold a lock on a file that is about to go; filelock takes
        # none on one that has gone. Some systems do not remove a file that is open.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def _acquire(lock: BaseFileLock, waits: str) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not waits:
            raise
        logger.info(waits)
        lock.acquire()
