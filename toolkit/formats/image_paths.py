"""Finds the images that an annotation file names, even if it was written on another machine.

A name is tried as written, with ``/`` in place of backslashes, and with URL escapes decoded. If none of a
file's names matches an existing image, they are treated as paths from another machine, such as
``C:\\photos\\a.jpg`` or ``/data/upload/1/a.jpg``: then the longest end of a name that matches an image
counts, or finally the file name alone, if exactly one image below the folder has it.
"""

from __future__ import annotations

import logging
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from toolkit.data.faults import fault, is_gathering
from toolkit.data.folders import data_files
from toolkit.data.images import IMAGE_SUFFIXES
from toolkit.data.splits import is_of_other_split
from toolkit.errors import DataError
from toolkit.formats.pairs import listed
from toolkit.reading.files import is_file

logger = logging.getLogger("toolkit")

MOST_EXPLAINED = 20
"""Number of missing images that are examined for a reason."""

_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""The prefix that Label Studio adds to the name of an uploaded image."""


class ImagePaths:
    """The images of one annotation file.

    Args:
        source: the annotation file, for messages.
        names: the names of all its images, as written there.
        folders: where to search for them, in this order.
        root: the folder below which to search for an image by the last part of its name.
        split: the split of the images; those in folders of other splits do not count.
        hint: what to do if an image is not found.
    """

    def __init__(
        self,
        source: Path,
        names: Sequence[str],
        folders: Sequence[Path],
        root: Path,
        *,
        split: str = "",
        hint: str = "",
    ) -> None:
        self._source = source
        self._names = names
        self._folders = list(folders)
        self._root = root
        self._split = split
        self._hint = hint
        self._ends: dict[int, Counter[tuple[str, ...]]] = {}
        self._told = False

    def find(self, name: str) -> Path | None:
        """The image of this name; None if there is none, or if several may be meant."""
        found = self.as_written(name)
        if found is None and not self._some_are_as_written:
            found = self._by_end(name)
            if found is not None and not self._told:
                self._told = True
                logger.info(
                    "%s lists images by paths on another computer; they are matched by the ends of the paths,"
                    " such as %s for %s",
                    self._source,
                    found,
                    name,
                )
        return found

    def require(self, name: str) -> Path:
        """The image of this name.

        Raises:
            DataError: when it does not exist, or several may be meant.
        """
        found = self.find(name)
        if found is None:
            raise DataError(self._why_not(name))
        return found

    def _why_not(self, name: str) -> str:
        folders = ", ".join(map(str, self._folders))
        why, hint = self._what_hinders(name)
        hint = hint or self._hint or f"put it into {self._folders[0]}, or correct the name"
        return f"{self._source} names the image {name}, which is in none of {folders}{why}. Hint: {hint}"

    def require_all(self, names: Sequence[str], hint: str) -> list[int]:
        """Check whether the first image exists; if errors are being collected, whether all do.

        Args:
            names: the names of the images.
            hint: what to do if none of them exist.

        Returns:
            The positions in ``names`` of the images that can be read.

        Raises:
            DataError: when one does not exist, unless errors are being collected.
        """
        if not is_gathering():
            for name in names[:1]:
                self.require(name)
            return [*range(len(names))]
        there = [place for place, name in enumerate(names) if self.find(name) is not None]
        if len(there) < len(names):
            kept = set(there)
            fault(self.lost([name for place, name in enumerate(names) if place not in kept], hint))
        return there

    def lost(self, names: Sequence[str], hint: str) -> DataError:
        """The error for images that were not found, with a reason for the first one that has one.

        Args:
            names: the names of the images.
            hint: what to do if none of them exist.
        """
        what = listed(f"images that {self._source} names but that do not exist", names)
        for name in names[:MOST_EXPLAINED]:
            why, better = self._what_hinders(name)
            if why:
                return DataError(f"{what}{why}. Hint: {better}")
        return DataError(f"{what}. Hint: {hint}")

    def _what_hinders(self, name: str) -> tuple[str, str]:
        """Why images whose names have the same end as this one are not used for it, and what to do; empty if
        there are no such images.
        """
        if self._some_are_as_written:
            return "", ""
        for last in (parts[-1] for parts in ways_to_split(name)):
            same = self._by_last_part.get(_key(last), [])
            if len(same) > 1:
                shown = ", ".join(map(str, same[:3]))
                return (
                    f"; {len(same)} images are called {last}: {shown}",
                    f"write the path of the right one, below {' or '.join(map(str, self._folders))}",
                )
            if same and not self._is_of_one_name((last,)):
                return (
                    f"; {self._ends[1][(_key(last),)]} names end in {last}, but only {same[0]} is there",
                    "put the other images there, too, or correct the names",
                )
        return "", ""

    @cached_property
    def _some_are_as_written(self) -> bool:
        """Whether the names fit these folders, so that a name without a match belongs to a missing image."""
        return any(self.as_written(name) is not None for name in self._names)

    def as_written(self, name: str) -> Path | None:
        """The image that a name refers to in one of the folders, in any of its readings."""
        for reading in readings(name):
            for place, folder in enumerate(self._folders):
                path = folder / reading
                if is_file(path):
                    # Most images of a file are in the same folder, which is tried first from now on.
                    self._folders.insert(0, self._folders.pop(place))
                    return path
        return None

    def _by_end(self, name: str) -> Path | None:
        for parts in ways_to_split(name):
            found = self._by_longest_end(parts) or self._by_file_name(parts[-1])
            if found is not None:
                return found
        return None

    def _by_longest_end(self, parts: tuple[str, ...]) -> Path | None:
        for start in range(len(parts)):
            end = parts[start:]
            if self._is_of_one_name(end):
                path = next(
                    (path for path in (f.joinpath(*end) for f in self._folders) if is_file(path)), None
                )
                if path is not None:
                    return path
        return None

    def _by_file_name(self, name: str) -> Path | None:
        for last in (name, _UPLOAD.sub("", name)):
            there = self._by_last_part.get(_key(last), [])
            if len(there) == 1 and self._is_of_one_name((last,)):
                return there[0]
        return None

    def _is_of_one_name(self, end: tuple[str, ...]) -> bool:
        """Whether at most one name ends in this; otherwise one image would be used for two."""
        count = len(end)
        if count not in self._ends:
            tails = ({tuple(map(_key, way[-count:])) for way in ways_to_split(name)} for name in self._names)
            self._ends[count] = Counter(tail for of_name in tails for tail in of_name)
        return self._ends[count][tuple(map(_key, end))] <= 1

    @cached_property
    def _by_last_part(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in data_files(self._root, IMAGE_SUFFIXES):
            folders = path.relative_to(self._root).parts[:-1]
            if not any(is_of_other_split(folder, self._split) for folder in folders if self._split):
                found.setdefault(_key(path.name), []).append(path)
        return found


def readings(name: str) -> Iterator[str]:
    """What a name may mean: as written, with ``/``, and with URL escapes decoded."""
    slashed = name.replace("\\", "/")
    yield from dict.fromkeys((name, slashed, unquote(slashed)))


def portable(name: str) -> str:
    """A name as a relative path with ``/``: without a drive, a server, or another machine's root, and without
    the ``..`` of an image beside the folder of the dataset.

    A name that already is one stays as it is.
    """
    slashed = name.replace("\\", "/")
    has_drive = re.match(r"[A-Za-z]:/", slashed)
    url = None if has_drive else _url(slashed)
    if url is not None:
        slashed = url
    elif has_drive:
        slashed = slashed[2:]
    elif ".." in slashed.split("/"):
        slashed = posixpath.normpath(slashed)
    elif slashed == name and not slashed.startswith("/"):
        return name
    parts = [part for part in slashed.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def ways_to_split(name: str) -> list[tuple[str, ...]]:
    """The parts of the path that a name stands for on any machine: as written, and with URL escapes decoded;
    none if the name has none.
    """
    path = portable(name)
    ways = (PurePosixPath(reading).parts for reading in dict.fromkeys((path, unquote(path))))
    return [parts for parts in ways if parts]


def portable_names(names: Sequence[str]) -> list[str]:
    """The names of a file's images made portable by ``portable``; names that would become equal stay as they
    are.
    """
    short = [portable(name) for name in names]
    uses = Counter(short)
    return [one if uses[one] == 1 else name for name, one in zip(names, short, strict=True)]


def _url(name: str) -> str | None:
    """The path in a URL, or the one that Label Studio gives as ``/data/local-files/?d=PATH``."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return None
    behind = parse_qs(parts.query).get("d")
    if behind and parts.path.endswith("/local-files/"):
        return behind[0]
    return unquote(parts.path) if parts.scheme and parts.netloc else None


def _key(name: str) -> str:
    """File names that differ only in case or in the encoding of accents are equal."""
    return unicodedata.normalize("NFC", name).casefold()
