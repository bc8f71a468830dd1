"""Kills a process right before any of its changes to a folder, as ``kill -9`` and the kernel's killer may."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.rename": (0, 1), "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,)}
"""Events of Python that change a folder, with the places of paths among their arguments."""


class Countdown:
    """Counts the changes to a folder in this process, for good: opening a file to write, renaming, removing,
    making folders, and waiting for the disk.

    Args:
        folder: the folder.
        last: the change before which the process kills itself; 0 for none.
    """

    def __init__(self, folder: Path, last: int = 0) -> None:
        self.folder, self.last, self.count = os.path.abspath(folder), last, 0
        sys.addaudithook(self._audit)
        fsync = os.fsync

        def counted(descriptor: int) -> None:
            self.tick()
            fsync(descriptor)

        os.fsync = counted

    def tick(self) -> None:
        """A change is about to be made."""
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if (writes or (isinstance(mode, str) and set(mode) & set("wax+"))) and self._concerns(path):
                self.tick()
        elif event in CHANGES and any(self._concerns(arguments[i]) for i in CHANGES[event]):
            self.tick()

    def _concerns(self, path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        found = os.path.abspath(os.fsdecode(path))
        return found == self.folder or found.startswith(self.folder + os.sep)


def changes_of(folder: Path, action: Callable[[], object], scratch: Path) -> int:
    """How many changes an action makes to a folder, counted in a process of its own."""

    def counting() -> None:
        countdown = Countdown(folder)
        action()
        scratch.write_text(str(countdown.count))

    assert _in_child(counting) == 0
    return int(scratch.read_text())


def killed_before(number: int, folder: Path, action: Callable[[], object]) -> bool:
    """Carry out an action in a process that is killed right before a change to a folder, counted from 1.

    Returns:
        Whether it was killed; False where the action made fewer changes and came to its end.
    """

    def dying() -> None:
        Countdown(folder, number)
        action()

    status = _in_child(dying)
    assert status in (0, -signal.SIGKILL), f"the process failed by itself: {status}"
    return status != 0


def _in_child(action: Callable[[], object]) -> int:
    """Carry out an action in a copy of this process; its exit code, or the number of a signal, negative."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # that threads do not come along, and none is needed
        child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
