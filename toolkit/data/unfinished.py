"""Marks folders of data that are still being written, so that opening or writing to one reports this."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import DataError, OutputError
from toolkit.reading.files import read_bytes
from toolkit.runtime.files import atomic_write, remove_unfinished, writing
from toolkit.runtime.locks import LOCK_FILE

MARK = ".toolkit-unfinished"
"""The file that is in the folder until it is complete, and names the command that writes it."""

_MOST_BYTES = 100_000


@contextlib.contextmanager
def being_written(folder: Path, command: str) -> Iterator[None]:
    """Mark a folder as unfinished within this context, and beyond it after an error or a kill. The same
    command can then start again.

    Args:
        folder: an existing, locked folder.
        command: the command that writes it.

    Raises:
        OutputError: when another command has left it unfinished.
    """
    mark = folder / MARK
    before = _command_of(mark)
    if before not in (None, command):
        raise OutputError(
            f"{folder} was left unfinished by another command. Hint: run that again ({before}), remove the"
            " folder, or choose another one with --out"
        )
    remove_unfinished(folder)
    with atomic_write(mark, "w", errors="surrogateescape") as file:
        file.write(f"{command}\n")
    try:
        yield
    except BaseException:
        if all(path.name in (MARK, LOCK_FILE) for path in folder.iterdir()):
            mark.unlink()
        raise
    with writing(mark):
        mark.unlink()


def require_finished(folder: Path) -> None:
    """Check that no command has left a folder of data unfinished.

    Raises:
        DataError: when one has; names it.
    """
    command = _command_of(folder / MARK)
    if command is not None:
        raise DataError(
            f"{folder} is incomplete: the command that writes it was stopped, or is still running. Hint:"
            f" run it again: {command}"
        )


def _command_of(mark: Path) -> str | None:
    if mark.is_symlink() or not mark.is_file():
        return None
    command = read_bytes(mark, "the command that writes here", DataError, most=_MOST_BYTES)
    return os.fsdecode(command).rstrip("\n")
