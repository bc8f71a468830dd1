"""Checks names from data before they become file names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath

from toolkit.errors import DataError


def check_name(folder: str | os.PathLike[str], name: str | os.PathLike[str]) -> None:
    """Check that a name can be that of a file in a folder, as far as the name itself shows.

    Args:
        folder: the folder that the user named, for the message.
        name: a relative path.

    Raises:
        DataError: when the name is empty or absolute, contains ``..`` or a zero byte, or has a lone surrogate
            that does not stand for a byte of a file name.
    """
    text, relative = os.fspath(name), PurePath(name)
    if "\0" in text or not relative.parts or not _can_be_encoded(text):
        raise DataError(f"{text!r} cannot be the name of a file in {folder}. Hint: rename it in the data")
    if relative.is_absolute() or relative.anchor or ".." in relative.parts:
        raise DataError(
            f"the name {text!r} leads out of {folder}, so nothing is written under it. Hint: move the file"
            " into the folder of the data, or rename it"
        )


def _can_be_encoded(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def inside(folder: str | os.PathLike[str], name: str | os.PathLike[str]) -> Path:
    """The path of a file that data name, in a folder and never outside of it.

    Args:
        folder: the folder that the user named; it may be a symbolic link itself.
        name: a relative path, whose folders need not exist.

    Raises:
        DataError: as ``check_name``, or when the name leads through a symbolic link to elsewhere.
    """
    check_name(folder, name)
    path = Path(folder, name)
    root, parent = os.path.realpath(folder), os.path.realpath(path.parent)
    if parent != root and not parent.startswith(root.rstrip(os.sep) + os.sep):
        raise DataError(
            f"the name {os.fspath(name)!r} leads out of {folder} through a symbolic link, to {parent}, so"
            " nothing is written to it. Hint: replace the link with a folder, or write to another folder"
        )
    return path


def check_distinct(names: Sequence[str], suffixes: Iterable[str], what: str = "samples") -> None:
    """Check that files with these names would not replace each other, before any is written.

    Args:
        names: relative paths without suffix, such as the ids of samples.
        suffixes: the suffixes that the files will have after the name.
        what: what they are the names of, for the message.

    Raises:
        DataError: when two are the same, or a file of one would be a folder of another (``a`` and
            ``a.png/b``); names both.
    """
    seen: dict[str, str] = {}
    for name in names:
        # as the file system sees it
        key = PurePosixPath(name).as_posix()
        if key in seen:
            raise DataError(
                f"two {what} have the name {seen[key]!r}, so one would replace the other. Hint: rename one"
            )
        seen[key] = name
    folders = {parent.as_posix(): name for name in names for parent in PurePosixPath(name).parents}
    for key, name in seen.items() if len(folders) > 1 else ():
        for suffix in suffixes:
            if f"{key}{suffix}" in folders:
                raise DataError(
                    f"{name!r} would be written to {key}{suffix}, which is a folder of"
                    f" {folders[f'{key}{suffix}']!r}. Hint: rename one of the two"
                )
