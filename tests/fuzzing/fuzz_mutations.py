"""Valid files made invalid, in ways that are drawn from a seed: bytes, words, and the structure of JSON."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 256, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -1e308, 0.5, 1e-320),
    *(1e7, 1e8, -1e8, float("nan"), float("inf"), float("-inf"), "", "a", "64", "no", "null", "1e3"),
    *(
        "\0",
        "\x1b[31m",
        "[/x]",
        "../../x.png",
        "/etc/hostname",
        "/dev/zero",
        "a\\b.jpg",
        "x" * 300,
        "x" * 5000,
    ),
    *("\ud83d", "\U0001f600", "caf\u00e9", "{0}", "%s", ".", "..", "a/b/c", [], {}, [[]], [{}], {"": 1}),
    *(
        [0],
        [None],
        [1, 2],
        [1, None, 9, 1, 9, 9],
        [[0, 0, 1e8, 0, 1e8, 1e8]],
        {"size": [8, 8], "counts": "0" * 99},
    ),
    *({"size": [2**31, 2**31], "counts": [1]}, {"size": [8, 8], "counts": [10**18]}, {"counts": "00"}),
)
"""What a field may hold that is not meant to be there."""

WORDS = (
    *(
        b"null",
        b"NaN",
        b"Infinity",
        b"-",
        b"1e999",
        b"9" * 400,
        b"9" * 5000,
        b"0x",
        b"1_0",
        b"no",
        b"~",
        b"<<: *a",
    ),
    *(
        b"&a ",
        b"*a",
        b"{{ x }}",
        b"!!python/object:x ",
        b"!!int ",
        b"? ",
        b"- ",
        b"\t",
        b"\x00",
        b"\xff",
        b"\xed\xa0",
    ),
    *(
        b"\\ud83d",
        b"\\u0000",
        b'"',
        b"'",
        b"\n",
        b"\r",
        b",",
        b":",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[" * 300,
        b'{"a":' * 300,
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"2024-13-45",
        b"1:30",
        b"|\n",
        b">",
        b"%YAML 9.9\n",
        b"---\n",
        b"...\n",
        b"#",
    ),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of a file."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changes = [_change_bytes]
        if data.lstrip()[:1] in (b"{", b"["):
            changes += [_change_json] * 3
        if b"\n{" in data and data.startswith(b"{"):
            changes += [_change_lines] * 3
        data = rng.choice(changes)(data, rng)
    return data


def _change_bytes(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    end = min(len(data), place + rng.choice((1, 1, 2, 8, 64)))
    change: Callable[[], bytes] = rng.choice(
        (
            lambda: data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :],
            lambda: data[:place] + rng.choice(WORDS) + data[place:],
            lambda: data[:place] + rng.choice(WORDS) + data[end:],
            lambda: data[:place] + data[end:],
            lambda: data[:place] + data[place:end] * rng.choice((2, 3, 50)) + data[end:],
            lambda: data[:place],
            lambda: data[:place] + rng.randbytes(end - place) + data[end:],
        )
    )
    return change()


def _change_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    lines[place] = _change_json(lines[place], rng)
    return b"\n".join(lines)


def _change_json(data: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _change_bytes(data, rng)
    holder = [value]
    places = list(_places(holder))
    parent, key = rng.choice(places)
    change = rng.randrange(6)
    if change == 0 and parent is not holder:
        del parent[key]
    elif change == 1 and isinstance(parent, list) and parent is not holder:
        parent.insert(key, copy.deepcopy(rng.choice(parent)))
    elif change == 2:
        other, from_key = rng.choice(places)
        parent[key] = copy.deepcopy(other[from_key])
    elif change == 3:
        parent[key] = [parent[key]] if rng.random() < 0.5 else {"a": parent[key]}
    else:
        parent[key] = rng.choice(ODD_VALUES)
    try:
        text = json.dumps(holder[0], ensure_ascii=rng.random() < 0.5)
    except (ValueError, RecursionError):  # of a number with thousands of digits
        return data
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every list and dictionary with each of its keys."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        each = todo.pop()
        keys: Any = range(len(each)) if isinstance(each, list) else each if isinstance(each, dict) else ()
        for key in keys:
            found.append((each, key))
            todo.append(each[key])
    return found
