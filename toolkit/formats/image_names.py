"""Matches the image names in a file of prompts with the given images."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath

from toolkit.formats.image_paths import readings, ways_to_split

logger = logging.getLogger("toolkit")


class ImageNames:
    """Names of images, looked up by the names in a file.

    Args:
        images: the names of the given images.
        entries: all names in the file.
    """

    def __init__(self, images: Iterable[str], entries: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in images:
            self._by_stem[_stem(name)].append(name)
        self._written = [*entries]
        self._ways = [["/".join(parts) for parts in ways_to_split(entry)] for entry in self._written]
        self._told = False

    @property
    def examples(self) -> list[str]:
        """A few of the names."""
        return sorted(name for group in self._by_stem.values() for name in group)[:3]

    def matches(self, entry: str) -> list[str]:
        """The images that a name in the file may refer to: those whose path ends with it, as written, with
        ``/``, or with URL escapes decoded. If no name in the file matches an image, the names are treated as
        paths from another machine: then the images with the longest matching end count, unless another name
        has the same end. The suffix may be missing.
        """
        found = self._as_written(entry)
        if found or self._some_are_as_written:
            return found
        for parts in ways_to_split(entry):
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                found = self._that_end_with(end)
                if found and self._is_of_one_entry(end):
                    self._tell(entry, found[0])
                    return found
        return []

    def _is_of_one_entry(self, end: str) -> bool:
        """Whether at most one name in the file ends in this."""
        return sum(any(_ends_with(way, end) for way in ways) for ways in self._ways) <= 1

    @cached_property
    def _some_are_as_written(self) -> bool:
        return any(self._as_written(entry) for entry in self._written)

    def _as_written(self, entry: str) -> list[str]:
        return next(filter(None, map(self._that_end_with, readings(entry))), [])

    def _that_end_with(self, end: str) -> list[str]:
        return [name for name in self._by_stem.get(_stem(end), ()) if _ends_with(name, end)]

    def _tell(self, entry: str, name: str) -> None:
        if not self._told:
            logger.info("Names of images are matched by their ends, such as %s with %s", entry, name)
        self._told = True


def _ends_with(name: str, entry: str) -> bool:
    ours, theirs = PurePosixPath(name), PurePosixPath(entry)
    same_suffix = not ours.suffix or not theirs.suffix or ours.suffix.lower() == theirs.suffix.lower()
    count = len(theirs.parts)
    return same_suffix and (*ours.parts[:-1], _stem(name))[-count:] == (*theirs.parts[:-1], _stem(entry))


def _stem(name: str) -> str:
    """The last part of a name without suffix; a number, such as a frame number, without leading zeros."""
    stem = PurePosixPath(name).stem
    return stem.lstrip("0") or "0" if stem.isascii() and stem.isdigit() else stem
