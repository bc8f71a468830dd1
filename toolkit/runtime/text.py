"""Text for people: whatever data contains is shown as text, and no console encoding ends the program.

Names of classes and files can come from anybody. They may contain escape codes that move the cursor or change
the window's title, bytes that are not UTF-8, and characters that the console cannot show.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO, cast

_HIDDEN = re.compile(
    "["
    # control characters except line ends and tabs
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"
    # line and paragraph separators, and characters that change the direction of text
    r"\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    # surrogates: bytes of file names that are not UTF-8, among others
    r"\ud800-\udfff"
    "]"
)
_PLAIN = str.maketrans(
    {
        "…": "...",
        "–": "-",
        "—": "-",
        "−": "-",
        "×": "x",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "’": "'",
        "“": '"',
        "”": '"',
    }
)
"""Replacements for characters in our own messages, for consoles that only have ASCII."""

_WORD = re.compile(r"(\s*)((?:(?<![^\s=(])'[^']*'|\S)+)")
"""A word, or several in quotes, after the spaces before it."""

VISIBLE = "toolkit.visible"
"""The name of the error handler that replaces characters that an encoding lacks."""


def printable(text: object) -> str:
    """Text that a terminal shows without interpreting it: control characters, invisible ones, and the bytes
    of file names that are not UTF-8 become visible (``\\x1b``, ``\\u202e``, ``\\xe9``). Line ends and tabs
    stay.
    """
    return _HIDDEN.sub(lambda found: _escaped(found[0]), str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    # how Python represents a byte of a file name
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """What to write in place of characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(each if each.isascii() else _escaped(each) for each in found), error.end


codecs.register_error(VISIBLE, _replaced)


class VisibleFormatter(logging.Formatter):
    """Formats log records as text that a terminal shows without interpreting it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines."""
        return printable(super().format(record))


class WrappingFormatter(VisibleFormatter):
    """Also breaks lines that are too long for a terminal, see ``wrapped``.

    Args:
        stream: the stream that the lines are written to.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__("%(message)s")
        self.stream = stream

    def format(self, record: logging.LogRecord) -> str:
        """The lines."""
        return wrapped(super().format(record), self.stream)


NARROWEST = 20
"""Columns of a terminal for which lines are broken. A terminal that nobody sized, such as that of `script` or
of a container, says 0; the program behind it breaks lines as it likes.
"""


def wrapped(text: str, stream: Any) -> str:
    """Text whose lines are broken at spaces to fit the terminal that a stream writes to; unchanged if the
    stream is not a terminal.

    Commands and words in quotes are never broken, so that they can be copied; nor are long words, such as
    paths.
    """
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        return text
    if width < NARROWEST:
        return text
    return "\n".join(_at_spaces(line, width) for line in text.split("\n"))


def _at_spaces(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())] + "  "
    lines, current = [], ""
    for gap, unit in _units(line):
        if current and len(current) + len(gap) + len(unit) > width:
            lines.append(current)
            current = indent + unit
        else:
            current += gap + unit
    return "\n".join([*lines, current]) + line[len(line.rstrip()) :]


def _units(line: str) -> Iterator[tuple[str, str]]:
    """The parts of a line that stay whole, each with the spaces before it: words, text in quotes, and
    commands up to the next punctuation mark.
    """
    words: list[tuple[str, str]] = _WORD.findall(line)
    start = 0
    while start < len(words):
        end = start + 1
        if _is_command(words, start):
            while end < len(words) and words[end - 1][1][-1] not in ";,.:)`":
                end += 1
        (gap, word), more = words[start], words[start + 1 : end]
        yield gap, word + "".join(between + each for between, each in more)
        start = end


def _is_command(words: Sequence[tuple[str, str]], start: int) -> bool:
    """Whether a command starts at a word: true for ``toolkit data list``, false for ``the toolkit wrote``."""
    before = words[start - 1][1] if start else ""
    after = words[start + 1][1] if start + 1 < len(words) else ""
    is_program = words[start][1].lstrip("(`") in ("toolkit", "pip")
    return is_program and after[:1].islower() and before.lower() not in ("a", "the", "this")


class _Visible:
    """A stream that shows control characters instead of sending them, and breaks long lines to fit a
    terminal; rich, which does both itself, finds the stream behind it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_within_line = False
        self.rich_proxied_file = stream  # the name by which rich looks for it

    def write(self, text: str) -> int:
        shown = printable(text)
        self._stream.write(shown if self._is_within_line else wrapped(shown, self._stream))
        return self._wrote(text)

    def write_whole(self, text: str) -> int:
        self._stream.write(printable(text))
        return self._wrote(text)

    def _wrote(self, text: str) -> int:
        if text:
            self._is_within_line = not text.endswith("\n")
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def shown_as_text() -> Iterator[None]:
    """Show everything that is printed as plain text within this context, on consoles of any encoding."""
    with contextlib.ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stack.callback(_set_errors, stream, stream.errors or "strict")
                _set_errors(stream, VISIBLE)
        if sys.stdout is not None:
            stack.callback(setattr, sys, "stdout", sys.stdout)
            sys.stdout = cast(TextIO, _Visible(sys.stdout))
        yield


def print_whole(text: str) -> None:
    """Print text for programs, such as JSON, whose lines are not broken on a terminal, either."""
    stream: Any = sys.stdout
    write = stream.write_whole if isinstance(stream, _Visible) else stream.write
    write(f"{text}\n")


def _set_errors(stream: Any, errors: str) -> None:
    # a stream that was closed, or whose reader has gone; this is handled elsewhere
    with contextlib.suppress(ValueError, OSError):
        stream.reconfigure(errors=errors)
