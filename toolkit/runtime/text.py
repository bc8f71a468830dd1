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
import textwrap
from collections.abc import Iterable, Iterator
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
    """Also breaks lines that are too long for a terminal at spaces. Lines with a command stay whole, so that
    it can be copied.

    Args:
        stream: the stream that the lines are written to; if it is not a terminal, they stay whole.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__("%(message)s")
        self.stream = stream

    def format(self, record: logging.LogRecord) -> str:
        """The lines."""
        text = super().format(record)
        try:
            width = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            return text
        return "\n".join(_at_spaces(line, width) for line in text.split("\n"))


def _at_spaces(line: str, width: int) -> str:
    if len(line) <= width or "toolkit " in line:
        return line
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


class _Visible:
    """A stream that shows control characters instead of sending them; rich, which sends escape codes of its
    own, finds the stream behind it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.rich_proxied_file = stream  # the name by which rich looks for it

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
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


def _set_errors(stream: Any, errors: str) -> None:
    # a stream that was closed, or whose reader has gone; this is handled elsewhere
    with contextlib.suppress(ValueError, OSError):
        stream.reconfigure(errors=errors)
