"""Writes files so that nobody ever sees half of one, and so that they survive a power cut."""

from __future__ import annotations

import contextlib
import difflib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from toolkit.errors import OutputError
from toolkit.runtime.confine import inside

_REPAIRS = {
    errno.ENOSPC: "the disk is full. Hint: free some space, or write to another disk",
    errno.EDQUOT: "your disk quota is used up. Hint: free some space, or write to another disk",
    errno.EFBIG: "the file is larger than the system allows here. Hint: write to another disk",
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
    errno.ELOOP: "it is a symbolic link, and none is followed here. Hint: remove the link",
    errno.ENXIO: "it is a named pipe, not a file. Hint: remove it",
    errno.ENAMETOOLONG: "its name is too long for this file system. Hint: choose a shorter name",
}


UNFINISHED = ".toolkit-*.part"
"""Pattern of the names of unfinished files of ``atomic_write``; nobody else names files like this."""

_UNFINISHED_NAME = re.compile(r"\.toolkit-[0-9a-f]{12}\.part")


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The error with ``path``, the system's message and how to fix it."""
    reason = (
        _REPAIRS.get(error.errno or 0)
        or f"{error.strerror or error}. Hint: check the disk, or write to another folder"
    )
    return OutputError(f"{os.fspath(path)} cannot be written: {reason}")


def nearest_path(path: Path) -> Path | None:
    """The existing path with the most similar name next to a path that does not exist, if any."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, names, n=1)
    return path.with_name(near[0]) if near else None


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the ``OSError`` of a failed write to ``path``, or below it, into an ``OutputError``; errors about
    other files pass through.
    """
    try:
        yield
    except OSError as error:
        if _concerns(error, path):
            raise output_error(path, error) from error
        raise


def _concerns(error: OSError, path: str | os.PathLike[str]) -> bool:
    """Whether an error names no file, the path, a folder above it (which could not be created), a file in it,
    or a file that is about to be moved to it.
    """
    if not isinstance(error.filename, (str, bytes, os.PathLike)):
        return True
    named, own = Path(os.path.abspath(os.fsdecode(error.filename))), Path(os.path.abspath(path))
    return own.is_relative_to(named) or named.is_relative_to(own) or is_unfinished(named)


class _Remembering(io.FileIO):
    """A file that remembers why it could not be written: libraries that are given a file, such as torch, hide
    the system's error behind one of their own.
    """

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write bytes, as ``FileIO`` does."""
        try:
            return super().write(data)
        except OSError as error:
            self.fault = error
            raise


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb", *, sync: bool = True, errors: str = "backslashreplace"
) -> Iterator[IO[Any]]:
    """Write ``path`` completely or not at all.

    A temporary file in the same folder is written and replaces ``path`` when the block ends; when the
    block raises, the temporary file is removed and what was at ``path`` stays. Missing folders are created. A
    symbolic link at ``path`` is replaced, not followed.

    Args:
        path: the file to write.
        mode: ``"wb"`` or ``"w"`` (UTF-8, ``"\\n"`` line ends on every system).
        sync: wait until the file is on the disk before it replaces the older one, and until the replacement
            is on the disk too, so that a power cut leaves one or the other. This takes milliseconds; ``into``
            defers it for many small files.
        errors: how lone surrogates, which UTF-8 cannot encode, are written; Python has them for the bytes of
            file names that are not UTF-8. Written as ``\\udce9`` they are correct in JSON; lists of file
            names use ``"surrogateescape"``, which restores the bytes.

    Raises:
        OutputError: when the disk is full, permissions are missing and so on, whichever library noticed;
            names the file and gives a hint.
        DataError: when the path leads out of the folder that ``into`` allows.
    """
    path = Path(path)
    if not path.name:
        raise output_error(path, OSError(errno.EISDIR, os.strerror(errno.EISDIR)))
    temporary = path.with_name(f".toolkit-{secrets.token_hex(6)}.part")
    within = _within.get()
    if within is not None:
        within.check(path)
    with writing(path):
        made = _make_folder(path.parent)
        # the mode "x" follows no link that somebody may have put there
        raw = _Remembering(temporary, "x")
        try:
            with _opened(raw, mode, errors) as file:
                yield file
                file.flush()
                if sync and within is None:
                    os.fsync(raw.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if raw.fault is not None and isinstance(error, Exception):
                raise raw.fault from error
            raise
        if within is not None:
            within.written += [path, *made]
        elif sync:
            for folder in dict.fromkeys([path.parent, *(each.parent for each in made)]):
                _sync(folder)


def _opened(raw: _Remembering, mode: str, errors: str) -> IO[Any]:
    if mode not in ("w", "wb"):
        raw.close()
        raise ValueError(f"mode must be 'w' or 'wb', not {mode!r}")
    file = io.BufferedWriter(raw)
    return file if mode == "wb" else io.TextIOWrapper(file, "utf-8", errors, newline="\n")


def _make_folder(folder: Path) -> list[Path]:
    """Create a folder and those above it; returns the ones that did not exist."""
    missing: list[Path] = []
    for each in (folder, *folder.parents):
        if os.path.lexists(each):
            break
        missing.append(each)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def open_to_append(path: str | os.PathLike[str]) -> io.BufferedWriter:
    """Open a file to append bytes to it; it is created if it does not exist.

    The folder may have come from somebody else: a symbolic link is not followed, since it may point to any of
    the user's files, and a named pipe is not waited for.

    Args:
        path: path of the file; its folder must exist.

    Raises:
        OutputError: when it cannot be opened, or is not a regular file.
    """
    with writing(path):
        return io.BufferedWriter(io.FileIO(os.fspath(path), "a", opener=_open_regular))


def _open_regular(path: str, flags: int) -> int:
    # some systems lack some of these flags
    for name in ("O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OutputError(f"{path} is not a regular file, so nothing is added to it. Hint: remove it")
    return descriptor


@dataclass
class _Into:
    """The state of ``into``: the folder, what was written there, and the folders known to be in it."""

    folder: Path
    written: list[Path] = field(default_factory=list)
    checked: set[Path] = field(default_factory=set)

    def check(self, path: Path) -> None:
        """Check that a path is in the folder.

        Raises:
            DataError: when it is not.
        """
        if path.parent in self.checked and "\0" not in path.name:
            return
        relative = path
        if path.is_relative_to(self.folder):
            relative = path.relative_to(self.folder)
        elif ".." not in path.parts:
            # given as an absolute path, unlike the folder, or vice versa
            relative = Path(os.path.relpath(path, self.folder))
        inside(self.folder, relative)
        self.checked.add(path.parent)


_within: ContextVar[_Into | None] = ContextVar("within", default=None)


@contextlib.contextmanager
def into(folder: Path, *, sync: bool = True) -> Iterator[list[Path]]:
    """Restrict ``atomic_write`` to this folder, in this thread and within this context, and wait for the disk
    at the end.

    Use it for file names that come from data: whatever path a writer derives from them, it does not lead out
    of the folder. Waiting for a hundred small files at once takes a fraction of the time of waiting for each,
    since the first wait flushes most of the others. Do not hold it across the ``yield`` of a generator, since
    it would then apply to the caller, too.

    Args:
        folder: the folder that the user named.
        sync: whether to wait for the disk; if not, the caller passes the list to ``sync_files`` before
            anything is written that says that the files exist. Inside another ``into``, the outer one waits.

    Yields:
        The files that have been written so far.

    Raises:
        DataError: when a path leads out of the folder; nothing is written there.
        OutputError: when a file cannot be written.
    """
    outer, own = _within.get(), _Into(folder)
    token = _within.set(own)
    try:
        yield own.written
    finally:
        _within.reset(token)
    if outer is not None:
        outer.written += own.written
    elif sync:
        sync_files(own.written)


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until files, and their names in the folders that contain them, are on the disk.

    Raises:
        OutputError: when one cannot be written; files that no longer exist are skipped.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        folders[path.parent] = None
        with writing(path), contextlib.suppress(FileNotFoundError):
            _sync(path, is_file=path.is_file())
    for folder in folders:
        _sync(folder)


def _sync(path: Path, *, is_file: bool = False) -> None:
    """Wait for a file, or for the names in a folder. Systems that cannot open folders (Windows) save the
    names by themselves, and some file systems cannot be waited for.
    """
    flags = os.O_RDWR if is_file and os.name == "nt" else os.O_RDONLY
    try:
        descriptor = os.open(path, flags)
    except OSError:
        if is_file:
            raise
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if is_file and error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def publish(file: Path, path: Path) -> None:
    """Move a complete file to its final name in the same folder; the move survives a power cut, too.

    Raises:
        OutputError: when it cannot be moved.
    """
    with writing(path):
        _sync(file, is_file=True)
        os.replace(file, path)
        _sync(path.parent)


def is_unfinished(path: Path) -> bool:
    """Whether a path has a name that only ``atomic_write`` gives to unfinished files."""
    return _UNFINISHED_NAME.fullmatch(path.name) is not None


def remove_unfinished(folder: Path) -> None:
    """Remove the files that ``atomic_write`` left unfinished in a folder, at any depth, when its process was
    killed, and nothing else; nobody may be writing there. Links are not followed.
    """
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if is_unfinished(path) and not path.is_symlink():
                path.unlink(missing_ok=True)
