"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from toolkit.errors import OutputError

_REPAIRS = {
    errno.ENOSPC: "the disk is full. Hint: free some space, or write to another disk",
    errno.EDQUOT: "your disk quota is used up. Hint: free some space, or write to another disk",
    errno.EACCES: (
        "permission denied. Hint: change the folder's permissions, or write to a folder of your own"
    ),
    errno.EPERM: (
        "permission denied. Hint: change the folder's permissions, or write to a folder of your own"
    ),
    errno.EROFS: "the disk is read-only. Hint: write to another folder",
    errno.EISDIR: "it is a folder. Hint: remove the folder, or choose another name",
    errno.ENOTDIR: "a part of its path is a file, not a folder. Hint: choose another path",
    errno.EEXIST: "a part of its path is a file, not a folder. Hint: choose another path",
    errno.ENAMETOOLONG: "its name is too long for this file system. Hint: choose a shorter name",
}


UNFINISHED = ".part"


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The error that names ``path``, what the system said and how to fix it."""
    reason = (
        _REPAIRS.get(error.errno or 0)
        or f"{error.strerror or error}. Hint: check the disk, or write to another folder"
    )
    return OutputError(f"{os.fspath(path)} cannot be written: {reason}")


def nearest_path(path: Path) -> Path | None:
    """What lies beside a path that is not there and is called most like it, if anything is."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, names, n=1)
    return path.with_name(near[0]) if near else None


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the ``OSError`` of a failed write to ``path`` into an ``OutputError``; other files' errors pass
    through.
    """
    try:
        yield
    except OSError as error:
        own = {None, os.fspath(path), os.path.dirname(os.fspath(path))}
        if error.filename in own or str(error.filename).endswith(UNFINISHED):
            raise output_error(path, error) from error
        raise


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb", *, sync: bool = False) -> Iterator[IO[Any]]:
    """Write ``path`` as a whole or not at all.

    A temporary file in the same folder takes the writing and replaces ``path`` when the block ends; when the
    block raises, the temporary file is removed and what was at ``path`` stays. Missing folders are made.

    Args:
        path: the file to write.
        mode: ``"wb"`` or ``"w"`` (UTF-8, ``"\\n"`` line ends on every system).
        sync: wait until the data is on the disk, so that the file survives a power cut too (milliseconds
            each).

    Raises:
        OutputError: when the disk is full, permissions are missing and the like; names the file and the
            hint.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(6)}{UNFINISHED}")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if sync:
            _sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what ``atomic_write`` had begun in a folder, at any depth, when its process was killed; nobody
    else may be writing there.
    """
    for path in folder.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; systems that cannot open folders (Windows) do not need it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
