"""Progress: the log above the bar, whole; lines where there is no terminal; durations in words."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from toolkit.runtime.progress import EVERY, FIRST_LINE, Count, Display, counting

LONG = "toolkit eval runs/unet-masks --data masks " + "--data-dir " + "a-long-folder/" * 8


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal(*, output: io.StringIO | None = None) -> Iterator[Terminal]:
    """A terminal as standard error and output, with a log handler that writes to it as the command's does.

    Not a fixture, because pytest puts its own streams in place once more between fixtures and test.
    """
    stream = Terminal()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root, own = logging.getLogger(), logging.getLogger("toolkit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "stderr", stream)
        patch.setattr(sys, "stdout", stream if output is None else output)
        patch.setattr(own, "level", logging.INFO)
        own._cache.clear()  # type: ignore[attr-defined]
        root.addHandler(handler)
        try:
            yield stream
        finally:
            root.removeHandler(handler)
            own._cache.clear()  # type: ignore[attr-defined]


def screen(text: str) -> list[str]:
    """What a terminal without a right border shows in the end: escape codes that Rich uses are followed."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            pass
        elif part.endswith("A") and part.startswith("\x1b"):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b"):
            lines[row] += part
    return lines


def test_what_is_logged_or_written_appears_above_the_bar_and_whole() -> None:
    with terminal() as stream, counting("measuring", 3) as advance:
        logging.getLogger("toolkit").info("first\nsecond [bold]not markup[/bold]")
        advance(1)
        sys.stderr.write(f"{LONG}\n")
        print("printed")
        advance(1)
        sys.stderr.write("no line end")
    shown = screen(stream.getvalue())
    assert [line for line in shown if line] == [
        "first",
        "second [bold]not markup[/bold]",
        LONG,
        "printed",
        "no line end",
    ]
    assert "measuring" in stream.getvalue()


def test_everything_is_as_before_afterwards() -> None:
    with terminal() as stream:
        handler = logging.getLogger().handlers[-1]
        assert isinstance(handler, logging.StreamHandler)
        with contextlib.suppress(KeyError), counting("measuring", 3):
            assert sys.stderr is sys.stdout is handler.stream
            assert sys.stderr is not stream
            raise KeyError("anything")
        assert sys.stderr is sys.stdout is handler.stream is stream


def test_standard_output_in_a_file_stays_there() -> None:
    file = io.StringIO()
    with terminal(output=file) as stream, counting("checking", 2) as advance:
        print("a result")
        advance(1)
    assert file.getvalue() == "a result\n"
    assert "a result" not in stream.getvalue()


def test_a_count_inside_another_gets_a_line_of_its_own() -> None:
    with terminal() as stream, Display() as display:
        bar = display.add("training", 10, 4)
        bar.update(5, "loss 0.5")
        with counting("validating", 2) as advance:
            assert [task.description for task in display._bars.tasks] == ["training", "validating"]
            advance(2)
        assert [task.description for task in display._bars.tasks] == ["training"]
        logging.getLogger("toolkit").info("validated")
    assert [line for line in screen(stream.getvalue()) if line] == ["validated"]


def test_nothing_is_drawn_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    with caplog.at_level("INFO", logger="toolkit"), counting("measuring", 1000, clock=lambda: now) as advance:
        for _ in range(1000):
            now += 0.125
            advance(1)
    assert capsys.readouterr().err == ""
    assert caplog.messages[0] == "measuring: 80 of 1000, 2 min left"
    assert len(caplog.messages) == 1 + int((125 - FIRST_LINE) / EVERY), "and none once all are done"
    assert caplog.messages[-1] == "measuring: 800 of 1000, 25 s left"


def test_what_was_done_before_does_not_count_for_the_pace(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    with caplog.at_level("INFO", logger="toolkit"), Count("predicting"):
        assert caplog.messages == []
    with (
        caplog.at_level("INFO", logger="toolkit"),
        counting("predicting", 120, done=100, clock=lambda: now) as advance,
    ):
        now = 20.0
        advance(10)
    assert caplog.messages == ["predicting: 110 of 120, 20 s left"]


def test_an_empty_count_and_one_that_is_not_to_be_shown_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    with caplog.at_level("INFO", logger="toolkit"):
        with counting("measuring", 0):
            pass
        with counting("measuring", 5, show=False, clock=lambda: now) as advance:
            now = 500.0
            advance(1)
        with Count("predicting", show=False) as count:
            count.start(3, 1)
            count.advance()
    assert caplog.messages == []


def test_a_console_of_ones_own_is_drawn_on() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with Display(console=console) as display:
        display.add("drawing", 2).update(1, "half")
    assert "drawing" in file.getvalue()
    assert "half" in file.getvalue()


def test_on_a_real_terminal_lines_stay_whole() -> None:
    """The command's own set-up of the log, on a pseudo-terminal of 80 columns."""
    program = (
        "import logging, sys, time\n"
        "logging.basicConfig(format='%(message)s', level=logging.INFO, stream=sys.stderr)\n"
        "from toolkit.runtime.progress import counting\n"
        "with counting('measuring', 5) as advance:\n"
        "    for i in range(5):\n"
        "        logging.getLogger('toolkit').info('line %d of the log', i)\n"
        "        time.sleep(0.06)\n"
        "        advance(1)\n"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        os.close(theirs)
        received = b""
        try:
            while part := os.read(ours, 4096):
                received += part
        except OSError:  # how Linux says that the other end was closed
            pass
        assert process.wait() == 0, received
    os.close(ours)
    text = received.decode()
    assert [line for line in screen(text) if line] == [f"line {i} of the log" for i in range(5)]
    assert "measuring" in text
