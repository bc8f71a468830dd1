"""Numbers, durations and lists of names in sentences; imports nothing but the standard library, so that every
module may use it.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Iterable


def in_words(seconds: float) -> str:
    """A duration as people say it, such as ``"40 s"``, ``"4 min"`` or ``"1 h 20 min"``; ``"?"`` when it is
    not known.
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 59.5:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: ``"1 step"``, ``"1,200 steps"``.

    Args:
        number: how many.
        singular: the noun for one.
        plural: for all other numbers; ``singular`` with an ``s`` when empty.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def quoted(path: str | os.PathLike[str]) -> str:
    """A path in a sentence: in quotes if it contains spaces, so that it can be pasted into a command."""
    text = os.fspath(path)
    return shlex.quote(text) if any(character.isspace() for character in text) else text


def list_setting(key: str, values: Iterable[str]) -> str:
    """A setting that is a list of names, to be pasted into any shell: ``'classes=[cat,"black dog"]'``."""
    items = [
        name if re.fullmatch(r"[\w-]+", name) else json.dumps(name, ensure_ascii=False) for name in values
    ]
    return shlex.quote(f"{key}=[{','.join(items)}]")


def some(names: Iterable[str], most: int = 5, *, separator: str = ", ") -> str:
    """The first of several names, and how many more there are: ``"a, b, c and 1,200 more"``.

    Args:
        names: all of them.
        most: how many are named.
        separator: stands between them.
    """
    every = list(names)
    more = len(every) - most
    return separator.join(every[:most]) + (f" and {more:,} more" if more > 0 else "")
