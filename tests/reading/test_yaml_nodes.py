"""YAML has limits, and file, line and column of whatever is wrong are said."""

from __future__ import annotations

import time
from typing import Any

import pytest

from toolkit.errors import ConfigError
from toolkit.reading.yaml_nodes import MOST_LEVELS
from toolkit.reading.yaml_text import parse_yaml


def parse(text: str) -> Any:
    return parse_yaml(text, "x.yaml", ConfigError).value


def test_merge_keys_lay_mappings_under_one() -> None:
    text = (
        "base: &b {a: 1, b: 2}\nmore: &m {b: 3, c: 4}\none: {<<: *b, b: 5}\nboth:\n  <<: [*b, *m]\n  d: 6\n"
    )
    found = parse(text)
    assert found["one"] == {"a": 1, "b": 5}
    assert found["both"] == {"a": 1, "b": 2, "c": 4, "d": 6}
    assert parse("'<<': 5") == {"<<": 5}


def test_aliases_are_copies() -> None:
    first, second = parse("[&a [1], *a]")
    first.append(2)
    assert second == [1]


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(("levels", "width"), [(9, 9), (30, 2), (6, 40)])
def test_aliases_of_aliases_are_refused_at_once(levels: int, width: int) -> None:
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=r"x.yaml, line \d+, column \d+: the aliases stand for more than"):
        parse(bomb(levels, width))
    assert time.perf_counter() - start < 10


def test_the_number_of_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.reading.yaml_nodes.MOST_VALUES", 50)
    assert len(parse("[" + "a," * 49 + "]")) == 49
    for text in ("[" + "a," * 60 + "]", "- b\n" * 60, "".join(f"k{i}: {{}}\n" for i in range(30))):
        with pytest.raises(ConfigError, match=r"line \d+, column \d+: the file has more than 50 values"):
            parse(text)


def test_a_few_aliases_are_none_of_a_bomb() -> None:
    assert len(parse(bomb(4, 4))["a3"]) == 4


@pytest.mark.parametrize(
    "text",
    ["[" * 900, "[" * 100_000, "{a: " * 900, "- " * 900 + "x", "\n".join(" " * i + "a:" for i in range(900))],
)
def test_depth_is_limited(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=rf"more than {MOST_LEVELS} levels deep"):
        parse(text)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"line 3, column 1: the key 'a' occurs twice, first on line 1"),
        ("{a: 1, b: {c: 1, c: 1}}", "the key 'c' occurs twice, first on line 1"),
        ("1: a\n01: b\n", "the key 1 occurs twice, first on line 1"),
        ("a: {{ x }}", "line 1, column 5: a mapping is in the place of a key.*template"),
        ("? [1, 2]\n: x", "a list is in the place of a key"),
        (
            "a: !!python/object/apply:os.system [ls]",
            r"line 1, column 4: the tag .*python/object/apply.*ever run",
        ),
        ("a: !!binary aGVsbG8=", "the tag"),
        ("a: !mine 5", "the tag '!mine'"),
        ("!!set {a, b}", "the tag"),
        ("!!int no", "'no' is not a valid int"),
        ("!!null 5", "'5' is not a valid null"),
        ("n: " + "7" * 5_000, "a whole number has 5,000 digits"),
        ("a\0b", "line 1: the character U\\+0000"),
        ("ok: 1\na: \x07", "line 2: the character U\\+0007"),
        ('"a\\0b"', "has a character that no name can have"),
        ('"\\ud83d"', "has a character that no name can have"),
        ('"\\U00110000"', "not valid YAML"),
        ("&a [*a]", r"the alias \*a refers to itself"),
        ("*nowhere", "not valid YAML|has no anchor"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
        ("a: [1, 2", "x.yaml, line 1, column 9 is not valid YAML"),
        ("a:\n\tb: 1", "line 2, column 1 is not valid YAML.*spaces, not tabs"),
        ("a: b: c", "line 1, column 5 is not valid YAML.*quotes"),
        ("<<: 5", "<< merges mappings"),
        ("<<: [{a: 1}, 5]", "<< merges mappings"),
        ("%YAML 9.9\n---\na", "not valid YAML"),
        (f"%YAML 1.{'9' * 5_000}\n---\na", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(text)
    assert "x.yaml" in str(caught.value)
    assert "Hint: " in str(caught.value)
    assert len(str(caught.value)) < 500
