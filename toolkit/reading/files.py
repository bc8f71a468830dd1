"""Bytes and text of a file that somebody else may have made."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from toolkit.errors import ToolkitError, UsageError

MakeError: TypeAlias = Callable[[str], ToolkitError]
"""The error to raise for a message, such as the class ``DataError``."""

MOST_BYTES = 4 << 30
"""Of a file of annotations or results; the largest published ones have about 2 GB."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_BYTE_ORDERS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def read_bytes(path: str | os.PathLike[str], what: str, error: MakeError, *, most: int = MOST_BYTES) -> bytes:
    """The contents of a regular file.

    Args:
        path: the file.
        what: what it should contain, for messages, such as "prompts".
        error: the kind of error to raise.
        most: largest allowed size in bytes. The size is checked before anything is read, so that neither a
            sparse file of 100 GB nor ``/dev/zero`` fills the memory, and no pipe is waited for.

    Raises:
        ToolkitError: of the kind ``error``: when the file does not exist, is not a regular file, is too
            large, or cannot be read.
    """
    path = Path(path)
    size = check_file(path, what, error, most=most)
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as problem:
        raise _unreadable(path, what, error, problem) from None


def check_file(path: str | os.PathLike[str], what: str, error: MakeError, *, most: int = MOST_BYTES) -> int:
    """The size of a regular file in bytes, for callers that read the file themselves; arguments
    as for ``read_bytes``.

    Raises:
        ToolkitError: of the kind ``error``, as ``read_bytes``.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise error(f"{path} does not exist; it should contain {what}. Hint: check its name") from None
    except OSError as problem:
        raise _unreadable(path, what, error, problem) from None
    except ValueError:  # a NUL character in the path
        raise error(f"{os.fspath(path)!r} is not a valid file name. Hint: check its characters") from None
    kind = next((name for fits, name in _KINDS if fits(found.st_mode)), None)
    if kind is not None:
        copy = "" if kind == "a folder" else ", or save its content to one"
        raise error(f"{path} is {kind}, not a file; it should contain {what}. Hint: name the file{copy}")
    if found.st_size > most:
        raise error(
            f"{path} has {found.st_size:,} bytes, but {what} have {most:,} at most. Hint: check whether it"
            " is the"
            " right file"
        )
    return found.st_size


def _unreadable(path: str | os.PathLike[str], what: str, error: MakeError, problem: OSError) -> ToolkitError:
    return error(
        f"{path} cannot be read: {problem.strerror or problem}; it should contain {what}. Hint: check its"
        " name and"
        " permissions"
    )


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path in which the home folder of a user replaces ``~`` or ``~name`` at the beginning.

    Raises:
        UsageError: when there is no such user, and no file of that name.
    """
    given = Path(path)
    try:
        return given.expanduser()
    except RuntimeError:
        if is_there(Path(given.parts[0])):
            return given
        raise UsageError(
            f"{given}: there is no user {given.parts[0][1:]!r} on this machine, so {given.parts[0]} is not a"
            " folder. Hint: write the whole path"
        ) from None


def is_file(path: Path) -> bool:
    """Whether a regular file exists; never an error, not even for a name that the system does not allow."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether anything has this name, even a link that leads nowhere. Readers of optional files ask this, so
    that a file that got lost is an error rather than counting as absent.
    """
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder exists; never an error, not even for a name that the system does not allow."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_text(path: str | os.PathLike[str], what: str, error: MakeError, *, most: int = MOST_BYTES) -> str:
    """The contents of a text file, without a byte order mark; arguments as for ``read_bytes``.

    Raises:
        ToolkitError: of the kind ``error``: as ``read_bytes``, or when it is not UTF-8; says where.
    """
    return decode(read_bytes(path, what, error, most=most), str(path), what, error)


def read_lines(path: str | os.PathLike[str], what: str, error: MakeError) -> list[str]:
    """The lines of a file that lists names, without surrounding spaces and without empty lines;
    arguments as for ``read_bytes``. Names of files need not be UTF-8: their bytes are kept, as Python does.

    Raises:
        ToolkitError: of the kind ``error``: as ``read_bytes``, or when it is not text.
    """
    data = read_bytes(path, what, error)
    check_encoding(data, str(path), what, error)
    if b"\0" in data:
        raise error(f"{path} is not text; it should contain {what}. Hint: write it again, one entry per line")
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return [line.strip() for line in text.splitlines() if line.strip()]


def decode(data: bytes, source: str, what: str, error: MakeError) -> str:
    """UTF-8 as text, without a byte order mark.

    Raises:
        ToolkitError: of the kind ``error``: when it is not UTF-8; says on which line, or which encoding
            it is.
    """
    check_encoding(data, source, what, error)
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise error(
            f"{source}, line {line}: the byte 0x{data[problem.start]:02x} is not UTF-8; it should contain"
            f" {what}."
            " Hint: save the file with the encoding UTF-8"
        ) from None


def check_encoding(data: bytes, source: str, what: str, error: MakeError) -> None:
    """Refuse text of two or four bytes per character, as some programs on Windows write it.

    Raises:
        ToolkitError: of the kind ``error``; names the encoding.
    """
    name = next((name for mark, name in _BYTE_ORDERS if data.startswith(mark)), None)
    if name is not None:
        raise error(
            f"{source} is text in {name}, not UTF-8; it should contain {what}. Hint: save the file with the"
            " encoding UTF-8"
        )
