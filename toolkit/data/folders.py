"""Files in folders of data: which ones count, which ones are left behind by systems and tools, and where
links lead.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

NO_DATA = frozenset(
    {"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Folders that archives, systems and network storage put among data; their contents are never data, although
the names may suggest it (``@eaDir/a.jpg`` is a thumbnail).
"""


OTHER_PICTURES = frozenset(
    {
        *(".heic", ".heif", ".avif", ".jxl", ".tga", ".psd", ".exr", ".hdr", ".ppm", ".pgm", ".pnm", ".ico"),
        *(".svg", ".dcm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    }
)
"""Suffixes of pictures that are not read; they are reported, so that they are not left out silently."""


def is_data(name: str) -> bool:
    """Whether a file or folder of this name counts as data.

    Hidden ones do not: ``._a.jpg`` (a resource fork of macOS), ``.ipynb_checkpoints``, ``.git``.
    """
    return not name.startswith(".") and name not in NO_DATA


def data_files(
    folder: Path,
    suffixes: frozenset[str] | None = None,
    *,
    on_error: Callable[[OSError], None] = lambda error: None,
) -> Iterator[Path]:
    """The files of data below a folder, each folder in the order of its names.

    Links are followed, but each real folder is visited once, so that circular links end. Only regular files
    are returned (a named pipe would never end), and broken links, so that reading them raises an error.

    Args:
        folder: the folder to search.
        suffixes: in lower case, such as ``.jpg``; None for all files.
        on_error: called when a folder cannot be read.
    """
    yield from _below(folder, suffixes, on_error, set())


def _below(
    folder: Path,
    suffixes: frozenset[str] | None,
    on_error: Callable[[OSError], None],
    visited: set[tuple[int, int]],
) -> Iterator[Path]:
    try:
        itself = folder.stat()
        if (itself.st_dev, itself.st_ino) in visited:
            return
        visited.add((itself.st_dev, itself.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if is_data(entry.name)), key=lambda each: each.name)
    except OSError as error:
        on_error(error)
        return
    for entry in entries:
        path = folder / entry.name
        if is_folder(entry):
            yield from _below(path, suffixes, on_error, visited)
        elif (suffixes is None or path.suffix.lower() in suffixes) and is_regular_or_lost(entry):
            yield path


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, possibly through a link; a link that leads to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_regular_or_lost(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file, possibly through a link, or a link that leads nowhere or to itself."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return entry.is_symlink()
