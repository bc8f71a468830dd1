"""Kills a process at any of its changes to a folder, as ``kill -9`` and the kernel's killer may, or fills its
disk there.

The suite does so at a few changes, spread over all of them; with ``TOOLKIT_KILLS=all`` (``make kill``), at
each, with ``TOOLKIT_KILLS=40`` (``make kill KILLS=40``), at 40 of each piece of work.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit.runtime import files

_WANTED = os.environ.get("TOOLKIT_KILLS", "")

THOROUGH = bool(_WANTED)
"""Whether more is asked for than what the suite does."""

LONGEST = 600.0
"""Seconds that a process may take, on a busy machine."""

CHANGES = {"os.rename": (0, 1), "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,)}
"""Events of Python that change a folder, with the places of paths among their arguments."""


class _Countdown:
    """Counts the changes to a folder in this process, for good: opening a file to write, writing, renaming,
    removing, making folders, and waiting for the disk.

    Args:
        folder: the folder.
        last: the change at which the process kills itself; 0 for none. Of a write, half is done before; of
            everything else, nothing.
        fills: whether, instead, the disk is full from there on.
    """

    def __init__(self, folder: Path, last: int = 0, *, fills: bool = False) -> None:
        self.folder, self.last, self.fills, self.count = os.path.abspath(folder), last, fills, 0
        self._lock = threading.Lock()
        fsync, write = os.fsync, files._Remembering.write

        def counted_fsync(descriptor: int) -> None:
            self._tick()
            fsync(descriptor)

        def counted_write(file: Any, data: Any) -> int:
            self._tick(half=lambda: write(file, memoryview(data)[: len(data) // 2]))
            return write(file, data)

        os.fsync = counted_fsync
        files._Remembering.write = counted_write  # type: ignore[method-assign]
        sys.addaudithook(self._audit)

    def _tick(self, half: Callable[[], object] = lambda: None, *, needs_space: bool = True) -> None:
        """A change is about to be made."""
        with self._lock:
            self.count += 1
            if self.fills and self.count >= self.last and needs_space:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if not self.fills and self.count == self.last:
                half()
                os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if (writes or (isinstance(mode, str) and set(mode) & set("wax+"))) and self._concerns(path):
                self._tick()
        elif event in CHANGES and any(self._concerns(arguments[i]) for i in CHANGES[event]):
            self._tick(needs_space=event == "os.mkdir")

    def _concerns(self, path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        found = os.path.abspath(os.fsdecode(path))
        return found == self.folder or found.startswith(self.folder + os.sep)


def changes_of(folder: Path, action: Callable[[], object]) -> int:
    """How many changes an action makes to a folder, counted in a process of its own."""
    result, given = os.pipe()

    def counting() -> None:
        countdown = _Countdown(folder)
        action()
        os.write(given, struct.pack("q", countdown.count))

    try:
        assert _in_child(counting) == 0, "the process failed by itself"
        return int(struct.unpack("q", os.read(result, 8))[0])
    finally:
        os.close(result)
        os.close(given)


def points(count: int, few: int) -> Sequence[int]:
    """The changes at which to kill, of ``count``, counted from 1: each, or as many as ``TOOLKIT_KILLS`` says,
    or else ``few``; the first and the last among them.
    """
    wanted = count if _WANTED == "all" else int(_WANTED or few)
    if wanted >= count:
        return range(1, count + 1)
    return sorted({1 + i * (count - 1) // (wanted - 1) for i in range(wanted)})


def killed_at(point: int, folder: Path, action: Callable[[], object]) -> bool:
    """Carry out an action in a process that is killed at a change to a folder, counted from 1.

    Args:
        point: which change.
        folder: the folder.
        action: must not depend on threads of this process.

    Returns:
        Whether it was killed; False where the action made fewer changes and came to its end.
    """

    def dying() -> None:
        _Countdown(folder, point)
        action()

    status = _in_child(dying)
    assert status in (0, -signal.SIGKILL), f"the process failed by itself: {status}"
    return status != 0


def with_full_disk_at(point: int, folder: Path, action: Callable[[], object]) -> None:
    """Carry out an action in a process whose disk is full from a change to a folder on, counted from 1.

    Args:
        point: which change.
        folder: the folder.
        action: must not depend on threads of this process, and must not fail.
    """

    def filled() -> None:
        _Countdown(folder, point, fills=True)
        action()

    assert _in_child(filled) == 0, "the process failed by itself"


def to_the_end(action: Callable[[], object]) -> None:
    """Carry out an action in a process of its own that is left alone. What is to be killed later must not be
    done in this process: threads of libraries that it started would be missing in the copies.
    """
    assert _in_child(action) == 0, "the process failed by itself"


def _in_child(action: Callable[[], object]) -> int:
    """Carry out an action in a copy of this process; its exit code, or the number of a signal, negative."""
    with warnings.catch_warnings():
        # that threads do not come along, and none is needed
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + LONGEST
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"the process takes longer than {LONGEST:g} s")
        time.sleep(0.005)
