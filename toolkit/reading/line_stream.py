"""Lines of a file of any length, one after another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from toolkit.reading.files import MakeError, check_encoding, check_file

MOST_BYTES = 1 << 46
"""Of a file that is read line by line, 64 TiB: what matters is the length of a line."""
MOST_LINE = 1 << 26
"""Bytes of a line."""


def byte_lines(path: str | os.PathLike[str], what: str, error: MakeError) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with the offset of each; one that is too long comes in pieces.

    Args:
        path: the file.
        what: what it should contain, for messages.
        error: the kind of error to raise.

    Raises:
        ToolkitError: of the kind ``error``, as ``toolkit.reading.files.read_bytes``.
    """
    check_file(path, what, error, most=MOST_BYTES)
    try:
        with open(path, "rb", buffering=1 << 20) as file:
            offset = 0
            while line := file.readline(MOST_LINE):
                yield offset, line
                offset += len(line)
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}. Hint: check the disk") from None


def text_lines(path: str | os.PathLike[str], what: str, error: MakeError) -> Iterator[str]:
    """The lines of a file that lists names, as ``toolkit.reading.files.read_lines`` gives them.

    Raises:
        ToolkitError: of the kind ``error``: as ``byte_lines``, or when it is not text.
    """
    for offset, line in byte_lines(path, what, error):
        if offset == 0:
            check_encoding(line, str(path), what, error)
            line = line.removeprefix(b"\xef\xbb\xbf")
        if b"\0" in line:
            raise error(f"{path} is not text; it should contain {what}. Hint: write one entry per line")
        text = line.decode("utf-8", "surrogateescape").strip()
        if text:
            yield text


def count_lines(path: Path, what: str, error: MakeError) -> int:
    """The number of lines of a file, without keeping any.

    Raises:
        ToolkitError: of the kind ``error``, as ``byte_lines``.
    """
    check_file(path, what, error, most=MOST_BYTES)
    count, last = 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")
