"""The types that schemas of records consist of, and how messages show values."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, Strict

MOST_SHOWN = 60
"""Largest number of characters of a value in a message."""

MOST_PIXELS = 1e7
"""The largest coordinate, in pixels, that is accepted. Beyond it, code written in C computes wrong results or
asks for gigabytes.
"""


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """A value from a file, for a message: short, on one line, and without characters that a terminal would
    obey.
    """
    try:
        text = _SHORT.repr(value)
    except (ValueError, RecursionError):  # an integer with more digits than Python converts to text
        text = f"a very long {type(value).__name__}"
    text = "".join(
        each if each.isprintable() else each.encode("unicode_escape", "backslashreplace").decode("ascii")
        for each in text
    )
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _short_repr() -> reprlib.Repr:
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxdict = 3, 8, 6
    short.maxstring = short.maxlong = short.maxother = 4 * MOST_SHOWN
    return short


_SHORT = _short_repr()


def is_number(value: object) -> bool:
    """Whether a value from a file is a finite number that a float can hold; booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # 10**400
        return False


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether each value is a number in the sense of ``is_number`` and of a built-in type, as parsers return
    them; several times as fast.
    """
    try:
        return set(map(type, values)) <= {int, float} and all(map(math.isfinite, values))
    except OverflowError:
        return False


def _whole(value: Any) -> Any:
    """A whole number that another program wrote as 3.0."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _identifier(value: Any) -> int | str:
    value = _whole(value)
    if isinstance(value, str) and value:
        return _plain_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise ValueError("should be a whole number or text")


def _file_name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("should be a valid string")
    if not 1 <= len(value) <= 4096:
        raise ValueError("should have 1 to 4096 characters")
    # the only lone surrogates that a name may have are those by which Python keeps bytes that are not UTF-8
    _plain_text(re.sub("[\udc80-\udcff]", "?", value))
    return value


def _flag(value: Any) -> int:
    if not isinstance(value, (int, float)) or value not in (0, 1):
        raise ValueError("should be 0 or 1")
    return int(value)


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("should be text")
    return value


def _plain_text(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain the character NUL")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return value


def below(name: str) -> str:
    """Check that the path of a file stays below the folder that it is relative to; for
    ``AfterValidator``.

    Raises:
        ValueError: when it does not.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("should be the name of a file below the folder of this one")
    return name


Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number; a whole one becomes a float."""

Pixels = Annotated[float, Strict(), Field(ge=-MOST_PIXELS, le=MOST_PIXELS, allow_inf_nan=False)]
"""A coordinate or length in pixels."""

Whole = Annotated[int, BeforeValidator(_whole), Strict(), Field(ge=-(2**63), lt=2**63)]
"""A whole number that fits into 64 bits; 3.0 counts as 3."""

Count = Annotated[int, BeforeValidator(_whole), Strict(), Field(ge=0, lt=2**63)]
"""A whole number, 0 or more."""

Flag = Annotated[int, PlainValidator(_flag)]
"""0 or 1, or a truth value."""

AnyText = Annotated[str, PlainValidator(_any_text)]
"""Text that may contain lone surrogates, as Python's names of files that are not UTF-8 do."""

Text = Annotated[str, Strict(), AfterValidator(_plain_text)]
"""Text that can be written to a file and printed."""

Name = Annotated[str, Strict(), Field(min_length=1), AfterValidator(_plain_text)]
"""The name of something: text that is not empty."""

FileName = Annotated[str, PlainValidator(_file_name)]
"""The path of a file, as the record gives it; it may not be there, and its bytes need not be UTF-8."""

Id = Annotated[int | str, PlainValidator(_identifier)]
"""What other records refer to a record by: a whole number of 64 bits (3.0 counts as 3), or text."""


class Schema(BaseModel):
    """Base of the schemas of records: fields by name; fields that the schema does not have are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
