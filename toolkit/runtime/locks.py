"""Ensures that only one process at a time writes to a folder."""

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
"""The file name of a folder's lock."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder, and keep other processes from writing to it within this context.

    The lock ends with the process, however the process ends. A folder that was created and is empty at the
    end is removed again.

    Raises:
        UsageError: when another process is writing there.
        OutputError: when the folder cannot be created or written to.
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
    """Keep other processes from writing a file, and what belongs to it, within this context.

    Raises:
        UsageError: when another process is writing it.
        OutputError: when its folder cannot be created or written to.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _held(lock_of(path), _busy(path)):
        yield


@contextlib.contextmanager
def waiting_for(path: Path, what: str) -> Iterator[None]:
    """Like ``locked_file``, but wait for the other process and log this.

    Args:
        path: the file; its folder must exist.
        what: what the other process is doing, such as ``"downloading data.zip"``.
    """
    with _held(lock_of(path), waits=f"another process is {what}; waiting for it"):
        yield


def require_unlocked(folder: Path) -> None:
    """Check that no other process is writing to a folder, before anything is done; a lock left by a killed
    process does not count.

    Raises:
        UsageError: when another process is writing there.
    """
    if not (folder / LOCK_FILE).is_file():
        return
    lock: BaseFileLock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(_busy(folder)) from None
    except (NotImplementedError, OSError):  # the error appears when something is written there
        return
    lock.release()


def lock_of(path: Path) -> Path:
    """The path of a file's lock."""
    return path.with_name(f".{path.name}{LOCK_FILE}")


def holds_nothing(folder: Path) -> bool:
    """Whether a folder does not exist, or contains nothing but locks and unfinished files that a killed
    process may have left.

    Raises:
        OutputError: when its contents cannot be listed.
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
            logger.info(
                "%s is on a file system without locks: only one process at a time may write to it", path
            )
    try:
        yield
    finally:
        # Before the release, so that nobody can hold a lock on a file that is about to be removed; filelock
        # does not acquire one on a removed file. Some systems do not remove a file that is open.
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
