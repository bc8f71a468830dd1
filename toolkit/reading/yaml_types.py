"""Types of the scalars in YAML: those of version 1.2's core schema, not 1.1's."""

from __future__ import annotations

import re
from typing import Any

CORE = "tag:yaml.org,2002:"
"""Prefix of the names of YAML's standard types."""

TYPES = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (
        "float",
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
        ),
    ),
)
"""Patterns of whole unquoted scalars; the first that matches counts, and all others are text."""


def type_of(text: str) -> str:
    """The type of an unquoted scalar: ``null``, ``bool``, ``int``, ``float`` or ``str``."""
    return next((name for name, pattern in TYPES if pattern.fullmatch(text)), "str")


def typed(text: str, kind: str) -> Any:
    """The value of a scalar of a given type."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:], base) if base != 10 else int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
