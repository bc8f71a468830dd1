"""Class names from annotation files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.errors import DataError


def class_name(value: Any, where: str) -> str:
    """A name without surrounding spaces, which nobody sees: with and without them it is the same class.

    Args:
        value: the value in the file.
        where: file and record, for messages.

    Raises:
        DataError: when it is not text, or is empty.
    """
    if not isinstance(value, str):
        raise DataError(
            f"{where} has {value!r} as a class name; expected text. Hint: write the name in quotes"
        )
    if not value.strip():
        raise DataError(f"{where} has an empty class name. Hint: name the class, or remove the record")
    return value.strip()


def class_index(value: Any, classes: Mapping[str, int], where: str, hint: str) -> int:
    """The index of the class that a record names.

    Args:
        value: the value in the file.
        classes: index by name.
        where: file and record, for messages.
        hint: what to do when there is no such class.

    Raises:
        DataError: when it is not a name, or not that of a class.
    """
    name = class_name(value, where)
    if name not in classes:
        raise DataError(f"{where} has no known class; expected one of {', '.join(classes)}. Hint: {hint}")
    return classes[name]


def class_names(values: Iterable[Any], where: str) -> tuple[str, ...]:
    """The names of a list of classes.

    Raises:
        DataError: when one is not a name, or occurs twice.
    """
    names = [class_name(value, f"{where}, class {place}") for place, value in enumerate(values)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where} lists the class {twice!r} twice. Hint: remove or rename one of them")
    return tuple(names)
