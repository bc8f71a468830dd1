"""Writing to object stores and other file systems at addresses, so that nobody ever sees half of a file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fsspec.spec import AbstractFileSystem

from toolkit.errors import DownloadError, OutputError, UnavailableError, UsageError
from toolkit.runtime.files import UNFINISHED, atomic_write
from toolkit.runtime.stores import StoredFile, open_store, read_store, scheme_of, shown_url, tried, walk_store

ATOMIC = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "memory"))
"""Protocols of stores in which a file appears when all of it has come; elsewhere it is renamed in the end."""

_Found = TypeVar("_Found")


def write_store(url: str, content: bytes | Path) -> None:
    """Write a file in a store completely or not at all; what was there is replaced.

    Args:
        url: its address.
        content: what it contains, or the file on this machine with that content.

    Raises:
        OutputError: when it cannot be written, also after several tries; says which address and why.
        FileNotFoundError: when there is no such file on this machine.
    """
    if isinstance(content, Path) and not content.is_file():
        raise FileNotFoundError(content)
    fs, path = _opened(url)
    if scheme_of(url) in ATOMIC:
        _written(url, lambda: _put(fs, path, content))
        return
    folder, _, name = path.rpartition("/")
    unfinished = UNFINISHED.replace("*", secrets.token_hex(6))
    temporary = f"{folder}/{unfinished}" if name else unfinished
    try:
        _written(url, lambda: _put(fs, temporary, content, folder))
        _written(url, lambda: _rename(fs, temporary, path))
    except OutputError:
        _forget(fs, temporary)
        raise


def _put(fs: Any, path: str, content: bytes | Path, folder: str | None = None) -> None:
    if folder:
        fs.makedirs(folder, exist_ok=True)
    if isinstance(content, bytes):
        fs.pipe_file(path, content)
    else:
        fs.put_file(str(content), path)


def _rename(fs: Any, before: str, after: str) -> None:
    if type(fs).mv is not AbstractFileSystem.mv:
        fs.mv(before, after)
        return
    # Its own way would take a name with brackets for a pattern.
    fs.cp_file(before, after)
    fs.rm_file(before)


def _forget(fs: Any, path: str) -> None:
    try:
        fs.rm_file(path)
    except Exception:  # the error that is being raised says more
        return


def remove_store(url: str) -> None:
    """Remove a file from a store, if it is there.

    Raises:
        OutputError: when it cannot be removed.
    """
    fs, path = _opened(url)

    def remove() -> None:
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            return

    _written(url, remove, "removed")


def fetch_store(url: str, path: Path) -> bool:
    """Copy a file of a store to this machine, of any size; returns whether it is there.

    Raises:
        DownloadError: when it cannot be read.
        OutputError: when the copy cannot be written.
    """
    fs, place = _opened(url)
    fs.invalidate_cache()

    def copy() -> None:
        with fs.open(place, "rb") as source, atomic_write(path, sync=False) as file:
            file.writelines(_blocks(source))

    return _if_there(lambda: tried(url, copy)) is not _MISSING


def _blocks(source: Any) -> Iterator[bytes]:
    while True:
        try:
            block = source.read(1 << 22)
        except OSError as error:  # not one of the file that is written
            raise DownloadError(str(error)) from error
        if not block:
            return
        yield block


def found_in_store(url: str) -> bytes | None:
    """The content of a small file as it is now; None if there is no such file.

    Raises:
        DownloadError: when it cannot be read.
    """
    _opened(url)[0].invalidate_cache()
    found = _if_there(lambda: read_store(url))
    return found if isinstance(found, bytes) else None


def files_in_store(url: str) -> list[StoredFile]:
    """The files of a folder in a store, at any depth; none if there is no such folder.

    Raises:
        DownloadError: when it cannot be listed.
    """
    found = _if_there(lambda: list(walk_store(url)))
    return found if isinstance(found, list) else []


_MISSING = object()


def _if_there(read: Callable[[], _Found]) -> _Found | object:
    try:
        return read()
    except DownloadError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return _MISSING
        raise


def _opened(url: str) -> tuple[Any, str]:
    try:
        return open_store(url)
    except (UnavailableError, UsageError) as error:
        raise OutputError(str(error)) from None


def _written(url: str, call: Callable[[], object], done: str = "written") -> None:
    """Make a call that writes, again if that may help.

    Raises:
        OutputError: when it fails.
    """
    try:
        tried(url, call)
    except DownloadError as error:
        reason = str(error).removeprefix(f"{shown_url(url)} cannot be read: ").partition(". Hint: ")[0]
        raise OutputError(
            f"{shown_url(url)} cannot be {done}: {reason}. Hint: check the address, and whether your"
            " credentials may write there"
        ) from error.__cause__
