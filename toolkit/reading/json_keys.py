"""Keys that occur twice in a JSON object, of which parsers silently keep the last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from toolkit.reading.fields import shown

_QUOTE, _COLON, _SPACE = b'": '
_CHUNK = 1 << 24
_HOLDERS = frozenset((dict, list))


def repeated_key(data: bytes, parsed: Any) -> str:
    """The key that occurs twice in an object of a parsed text; empty if there is none.

    Counting the keys in the text and in what was parsed takes a fraction of the time of parsing, and no key
    is repeated if both counts are equal. If they differ, the text is parsed again with every key kept.

    Args:
        data: the text.
        parsed: what the parser returned for it.

    Returns:
        The first repeated key with its first two values, in words.
    """
    if _written_keys(data) == _parsed_keys(parsed):
        return ""
    try:
        json.loads(data, object_pairs_hook=_checked)
    except _RepeatedError as found:
        return str(found)
    except (ValueError, RecursionError):  # it was parsed before, by a parser with other limits
        pass
    return ""


class _RepeatedError(Exception):
    pass


def _checked(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise _RepeatedError(
                    f"an object has the key {shown(key)} twice, with {shown(seen[key])} and {shown(value)}"
                )
            seen[key] = value
    return found


def _written_keys(data: bytes) -> int:
    """Colons after a quotation mark or a space: all keys, and a few more if text looks similar."""
    count = 0
    for start in range(0, len(data), _CHUNK):
        # including the character before it
        part = np.frombuffer(data[max(start - 1, 0) : start + _CHUNK], np.uint8)
        before = part[np.flatnonzero(part[1:] == _COLON)]
        count += int(np.count_nonzero((before == _QUOTE) | (before <= _SPACE)))
    return count


def _parsed_keys(value: Any) -> int:
    """Keys of all objects, except those in lists that begin with something else, as lists of numbers do.

    One depth at a time: there are few depths and many objects, and Python counts many objects fastest in one
    call.
    """
    count, level = 0, [value]
    while level:
        objects = [each for each in level if type(each) is dict]
        lists = [each for each in level if type(each) is list and each and type(each[0]) in _HOLDERS]
        count += sum(map(len, objects))
        level = [each for one in objects for each in one.values() if type(each) in _HOLDERS]
        level += chain.from_iterable(lists)
    return count
