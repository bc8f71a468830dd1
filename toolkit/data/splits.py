"""The names that other software uses for splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from toolkit.errors import DataError

T = TypeVar("T")

NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Each split with all of its names; Roboflow uses ``valid``."""


def names_of(split: str) -> tuple[str, ...]:
    """All names of a split, its own first; a split that is not listed has only its own."""
    return NAMES.get(split, (split,))


def split_of(name: str) -> str | None:
    """The split that a name stands for; None if it stands for none."""
    return next((split for split, names in NAMES.items() if name.lower() in names), None)


def is_of_other_split(name: str, split: str) -> bool:
    """Whether a file or folder is named after a split other than this one: ``train2017`` does not belong to
    ``val``.
    """
    words = re.split(r"[^a-z]+", name.lower())
    named = {split_of(word) for word in words} - {None}
    return bool(named) and split not in named


def the_one(found: Mapping[str, T], split: str, where: str, hint: str) -> T | None:
    """The entry under one of the names of a split; None if there is none.

    Args:
        found: entries by name.
        split: the split.
        where: the folder or file, for the message.
        hint: what to do if there are two.

    Raises:
        DataError: when there are entries under two names, one of which would be ignored.
    """
    there = [name for name in names_of(split) if name in found]
    if len(there) > 1:
        raise DataError(f"{where} has both {' and '.join(there)} for the split {split!r}. Hint: {hint}")
    return found[there[0]] if there else None


def of_no_split(names: Iterable[str]) -> list[str]:
    """The names that stand for no split."""
    return [name for name in names if split_of(name) is None]
