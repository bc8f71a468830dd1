"""Records Ctrl-C and SIGTERM instead of acting on them immediately."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """In this context, the first Ctrl-C or SIGTERM only sets ``noticed``; a second one acts as usual.

    Args:
        enabled: False leaves the signals alone, because the processes of a distributed run would stop at
            different steps. They are also left alone outside the main thread, where Python does not allow
            handling them.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled and threading.current_thread() is threading.main_thread()
        self.noticed = False
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if self.enabled:
            self._handlers = {number: signal.signal(number, self._notice) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self.noticed = True
        self._restore()

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())
