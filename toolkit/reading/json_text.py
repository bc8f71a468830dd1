"""JSON that somebody else wrote."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Any

from pydantic_core import from_json

from toolkit.reading.files import MOST_BYTES, MakeError, check_encoding, read_bytes
from toolkit.reading.json_keys import repeated_key
from toolkit.reading.memory import uncollected

MOST_LEVELS = 200
"""Lists and objects within one another; pydantic's parser has no setting for this limit and stops there by
itself.
"""


def load_json(path: str | os.PathLike[str], what: str, error: MakeError, *, most: int = MOST_BYTES) -> Any:
    """The contents of a JSON file in UTF-8, with or without a byte order mark.

    ``NaN`` and ``Infinity`` are read as Python writes them; code that uses a number checks that it is finite.

    Args:
        path: the file.
        what: what it should contain, for messages.
        error: the kind of error to raise.
        most: largest size in bytes, see ``toolkit.reading.files.read_bytes``.

    Raises:
        ToolkitError: of the kind ``error``: when the file cannot be read or is not JSON, with line and
            column; when lists and objects are more than 200 levels deep, a number has more than 4,300 digits,
            a surrogate is not paired, or an object has a key twice.
    """
    return parse_json(read_bytes(path, what, error, most=most), str(path), what, error)


def parse_json(text: bytes | str, source: str, what: str, error: MakeError) -> Any:
    """As ``load_json``, from text that ``source`` names in messages."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    check_encoding(data, source, what, error)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise error(f"{source} is empty; it should contain {what}. Hint: write or export it again")
    try:
        with uncollected():
            parsed = from_json(data)
            repeated = repeated_key(data, parsed)
    except ValueError as problem:
        if "surrogate" in str(problem) and _keeps_bytes_of_names(data):
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(data)
        raise error(
            f"{source} is not valid JSON: {_reason(str(problem))}; it should contain {what}. Hint: write or"
            " export it again"
        ) from None
    if repeated:
        raise error(
            f"{source}: {repeated}, and only one of them could be used; it should contain {what}. Hint:"
            " remove one"
        )
    return parsed


_HALVES = re.compile(rb"\\u(?:d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(d[89a-f][0-9a-f]{2}))", re.IGNORECASE)


def _keeps_bytes_of_names(data: bytes) -> bool:
    """Whether every unpaired surrogate is one by which Python keeps a byte of a file name that is not UTF-8;
    our own writers write such names.
    """
    alone = (int(code, 16) for code in _HALVES.findall(data) if code)
    return all(0xDC80 <= code <= 0xDCFF for code in alone)


def _reason(message: str) -> str:
    """What the parser says, in plain words."""
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message


_WORDS = (
    (r"recursion limit exceeded", f"lists and objects are more than {MOST_LEVELS} levels deep"),
    (r"number out of range", "a number has too many digits"),
    (r"EOF while parsing (an? )?(\w+)", r"it is cut off within one \2,"),
    (
        r"(lone leading surrogate in|unexpected end of) hex escape",
        "a surrogate (\\\\ud800 to \\\\udfff) is not paired",
    ),
)
