"""YAML values that remember how they were written, for settings that are text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WrittenInt(int):
    """A whole number that remembers how it was written, for settings that are text: ``classes: [007]``."""

    written: str


class WrittenFloat(float):
    """As ``WrittenInt``."""

    written: str


class WrittenList(list[Any]):
    """A list that remembers how its scalars were written: ``[no, null]`` are two names where names are
    expected.

    Attributes:
        written: the text of each item, None for lists and mappings.
    """

    written: tuple[str | None, ...]


def as_written(value: Any) -> Any:
    """Text in place of a value that remembers how it was written, also for the items of such a list and the
    values of a mapping; other values as they are.
    """
    if isinstance(value, (WrittenInt, WrittenFloat)):
        return value.written
    if isinstance(value, WrittenList):
        return [
            as_written(item) if text is None else text
            for item, text in zip(value, value.written, strict=True)
        ]
    if isinstance(value, Mapping):
        return {as_written(key): as_written(item) for key, item in value.items()}
    return value


def forget_text(value: Any) -> Any:
    """The same values as plain lists and numbers, which do not remember how they were written."""
    if isinstance(value, WrittenInt):
        return int(value)
    if isinstance(value, WrittenFloat):
        return float(value)
    if isinstance(value, list):
        return [forget_text(item) for item in value]
    if isinstance(value, dict):
        return {forget_text(key): forget_text(item) for key, item in value.items()}
    return value
