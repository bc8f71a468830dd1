"""Scalars have the types of YAML 1.2."""

from __future__ import annotations

import math
from typing import Any

import pytest

from toolkit.errors import ConfigError
from toolkit.reading.yaml_text import parse_yaml


def parse(text: str) -> Any:
    return parse_yaml(text, "x.yaml", ConfigError).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, word)
            for word in ("no", "Yes", "on", "OFF", "y", "n", "1_0", "1:30", "0x", "1e", "2024-13-45")
        ),
        *((word, None) for word in ("null", "Null", "NULL", "~", "")),
        *((word, True) for word in ("true", "True", "TRUE")),
        ("False", False),
        ("02146", 2146),
        ("-7", -7),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("2001-12-14", "2001-12-14"),
        ("1xdropout", "1xdropout"),
        ("=", "="),
        ("'5'", "5"),
        ('"null"', "null"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!float 5", 5.0),
        ("!!int 5", 5),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">\n  a\n  b\n", "a b\n"),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse(text)
    assert found == value
    assert type(found) is type(value)
    assert parse(f"key: {text}") == {"key": value}


def test_nan_is_a_number() -> None:
    assert math.isnan(parse(".nan"))
