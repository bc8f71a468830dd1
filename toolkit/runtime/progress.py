"""Progress on standard error: a bar on a terminal, with the log above it; elsewhere an occasional line."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from toolkit.runtime.terminal import Terminal
from toolkit.runtime.text import VisibleFormatter
from toolkit.wording import in_words

logger = logging.getLogger("toolkit")

FIRST_LINE = 10.0
"""Seconds until the first line about the progress of a count without a bar."""
EVERY = 30.0
"""Seconds between such lines afterwards."""


class Display:
    """Bars at the bottom of a terminal, while it is open as a context.

    Whatever is logged or written to standard error meanwhile appears above the bars, as whole lines. A
    display that is opened inside another one adds its bars to the outer one's. If standard error is not a
    terminal, nothing is drawn.

    Args:
        show: whether to draw at all.
        console: where to draw; standard error when None.
    """

    def __init__(self, *, show: bool = True, console: Console | None = None) -> None:
        outer: Display | None = getattr(sys.stderr, "display", None) if console is None and show else None
        self.console: Console = outer.console if outer else console or Terminal(stderr=True)
        self.is_drawn = show and self.console.is_terminal
        self._is_inner = outer is not None
        self._bars: Progress = outer._bars if outer else _bars(self.console, disable=not self.is_drawn)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Display:
        if self.is_drawn and not self._is_inner:
            self._stack.enter_context(_printing_above(self))
            self._stack.enter_context(self._bars)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, what: str, total: int | None, done: int = 0) -> Bar:
        """Add a bar.

        Args:
            what: what is counted, in a word or two.
            total: how many there are; None if unknown.
            done: how many were done before.
        """
        bar = Bar(self._bars, self._bars.add_task(what, total=total, text=""), total)
        bar.update(done)
        return bar


def _bars(console: Console, *, disable: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
        disable=disable,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class Bar:
    """One bar of a display."""

    def __init__(self, bars: Progress, task: TaskID, total: int | None) -> None:
        self._bars, self._task, self._total = bars, task, total

    def update(self, done: int, note: str = "") -> None:
        """Move it to ``done``, and show a note next to it, which is cut off if there is no room."""
        of = "" if self._total is None else f"/{self._total}"
        self._bars.update(self._task, completed=done, text=f"{done}{of} {note}".rstrip())

    def remove(self) -> None:
        """Remove the bar."""
        self._bars.remove_task(self._task)


@contextmanager
def counting(
    what: str,
    total: int | None,
    *,
    done: int = 0,
    show: bool = True,
    display: Display | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Callable[[int], None]]:
    """Show the progress of something, and how long it will still take.

    On a terminal this is a bar; elsewhere, anything that takes longer than ``FIRST_LINE`` seconds logs an
    occasional line.

    Args:
        what: what is being done, such as ``"measuring"``.
        total: how many there are to do; None if unknown.
        done: how many were done before.
        show: False shows nothing at all.
        display: an open display to which the bar is added; a new one when None.
        clock: returns the time in seconds.

    Yields:
        A function to call with the number of items that have been done since the last call.
    """
    began, start, due = clock(), done, FIRST_LINE
    with contextlib.ExitStack() as stack:
        shown = display or stack.enter_context(Display(show=show))
        bar = shown.add(what, total, done)

        def advance(count: int = 1) -> None:
            nonlocal done, due
            done += count
            passed = clock() - began
            left, far = "", f"{done:,}"
            if total is not None:
                left = f"{in_words(passed / max(done - start, 1) * (total - done))} left"
                far = f"{done} of {total}, {left}"
            bar.update(done, left)
            if show and not shown.is_drawn and passed >= due and done != total:
                logger.info("%s: %s", what, far)
                due = passed + EVERY

        try:
            yield advance
        finally:
            bar.remove()


class Count(contextlib.ExitStack):
    """Like ``counting``, if the total only becomes known inside."""

    def __init__(self, what: str, *, show: bool = True) -> None:
        super().__init__()
        self._what, self._show = what, show

    def start(self, total: int | None, done: int = 0) -> None:
        """Set the total (None if unknown) and the number that were done before."""
        self._advance = self.enter_context(counting(self._what, total, done=done, show=self._show))

    def advance(self, _: object = None) -> None:
        """Count one more as done."""
        self._advance(1)


@contextmanager
def _printing_above(display: Display) -> Iterator[None]:
    """Send what log handlers, standard error and standard output write to the terminal through its console,
    which redraws the bars below it.
    """
    file = display.console.file
    # Standard output may be redirected to a file; then it is left alone.
    streams = [file, *(stream for stream in (sys.stderr, sys.stdout) if _is_terminal(stream))]
    above = _Above(display, file)
    with contextlib.ExitStack() as stack:
        for name in ("stderr", "stdout"):
            if (stream := getattr(sys, name)) in streams:
                stack.callback(setattr, sys, name, stream)
                setattr(sys, name, above)
        for handler in [*logging.getLogger().handlers, *logger.handlers]:
            if isinstance(handler, logging.StreamHandler) and handler.stream in streams:
                stack.callback(handler.setStream, handler.stream)
                handler.setStream(above)
        yield
        above.flush()


def _is_terminal(stream: Any) -> bool:
    return bool(getattr(stream, "isatty", bool)())


class _Above(io.TextIOBase):
    """A stream that prints each line above the bars. Rich has one too, but it breaks long lines at words, so
    that a command in them can no longer be copied.
    """

    def __init__(self, display: Display, file: Any) -> None:
        self.display = display
        self.rich_proxied_file = file  # the name by which Rich finds the stream behind this one
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._print(line)
        return len(text)

    def flush(self) -> None:
        if self._rest:
            self._print(self._rest)
            self._rest = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return cast(TextIO, self.rich_proxied_file).fileno()

    def _print(self, line: str) -> None:
        self.display.console.print(Text.from_ansi(line), soft_wrap=True, highlight=False)


@contextmanager
def shown_log() -> Iterator[None]:
    """Show log lines for people on standard error, unless logging has been configured."""
    if logger.hasHandlers():
        yield
        return
    handler, level = logging.StreamHandler(), logger.level
    handler.setFormatter(VisibleFormatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
