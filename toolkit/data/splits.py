"""The names by which a split goes in other people's folders."""

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
"""Each split with all of its names; Roboflow calls the second ``valid``."""


def names_of(split: str) -> tuple[str, ...]:
    """All names of a split, its own first; any other split has only its own."""
    return NAMES.get(split, (split,))


def split_of(name: str) -> str | None:
    """The split that a name stands for; None for one that stands for none."""
    return next((split for split, names in NAMES.items() if name.lower() in names), None)


def is_of_other_split(name: str, split: str) -> bool:
    """Whether a file or folder is named after another split than this one: ``train2017`` is not of
    ``val``.
    """
    words = re.split(r"[^a-z]+", name.lower())
    named = {split_of(word) for word in words} - {None}
    return bool(named) and split not in named


def the_one(found: Mapping[str, T], split: str, where: str, hint: str) -> T | None:
    """What there is under one of the names of a split; None where there is nothing.

    Args:
        found: by name.
        split: the split.
        where: the folder or file, for the message.
        hint: what to do when there are two.

    Raises:
        DataError: when there is something under two names, one of which would be passed over.
    """
    there = [name for name in names_of(split) if name in found]
    if len(there) > 1:
        raise DataError(f"{where} has both {' and '.join(there)} for the split {split!r}. Hint: {hint}")
    return found[there[0]] if there else None


def of_no_split(names: Iterable[str]) -> list[str]:
    """Those of some names that stand for no split."""
    return [name for name in names if split_of(name) is None]
