"""Kills a piece of work at each of the moments in which it changes what is on the disk."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from toolkit.runtime import files


class _Moments:
    """Counts moments, and ends the process by SIGKILL in the one that is chosen."""

    def __init__(self, chosen: int) -> None:
        self._chosen, self._passed, self._lock = chosen, 0, threading.Lock()

    def pass_one(self) -> None:
        with self._lock:
            if self._passed == self._chosen:
                os.kill(os.getpid(), signal.SIGKILL)
            self._passed += 1

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a moment before it and one after it."""

        def watched(*args: Any, **options: Any) -> Any:
            self.pass_one()
            result = function(*args, **options)
            self.pass_one()
            return result

        return watched


def killed_at(moment: int, work: Callable[[], None]) -> bool:
    """Do some work in a process of its own, which is killed in a moment: before or after the n-th of its
    writes, renames, removals and waits for the disk.

    Args:
        moment: which, counted from 0.
        work: must not depend on threads of this process.

    Returns:
        Whether it was killed; False when it came to its end before that.
    """
    child = os.fork()
    if not child:
        moments = _Moments(moment)
        for place, name in ((os, "replace"), (os, "fsync"), (os, "unlink"), (os, "mkdir"), (os, "rmdir")):
            setattr(place, name, moments.around(getattr(place, name)))
        files._Remembering.write = moments.around(files._Remembering.write)  # type: ignore[method-assign]
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return False


def every_moment(work: Callable[[int], Callable[[], None]], step: int = 1) -> Iterator[int]:
    """Kill work in each moment, one after the other, until it comes to its end.

    Args:
        work: makes the work for a moment, such as in a folder of its own.
        step: 1 for every moment, 2 for every second one, and so on.

    Yields:
        Each moment, after the kill.
    """
    for moment in itertools.count(0, step):
        was_killed = killed_at(moment, work(moment))
        yield moment
        if not was_killed:
            return
