"""YAML is typed as in version 1.2, has limits, and says file and line of whatever is wrong."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ConfigError
from toolkit.reading.yaml_text import (
    MOST_LEVELS,
    as_written,
    dump_yaml,
    forget_text,
    load_yaml,
    parse_yaml,
)


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


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(
        st.characters(codec="utf-8", exclude_characters="\0\x85\u2028\u2029", exclude_categories=["Cc"])
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdefgh_.0123456789", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(TREES)
def test_what_is_written_is_read_back_here_and_by_pyyaml(tree: Any) -> None:
    text = dump_yaml(tree)
    assert parse(text) == tree
    assert yaml.safe_load(text) == tree


@pytest.mark.parametrize(
    "word",
    ["1e3", "1e-3", "08", "0o17", "no", "null", "5", "~", "0x1F", "1_0", "+.inf", "2001-12-14", "1:30", ""],
)
def test_text_that_looks_like_something_else_keeps_its_type(word: str) -> None:
    for reader in (parse, yaml.safe_load):
        assert reader(dump_yaml({"a": [word]})) == {"a": [word]}


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
    monkeypatch.setattr("toolkit.reading.yaml_text.MOST_VALUES", 50)
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
        ("!!int no", "'no' is no int"),
        ("!!null 5", "'5' is no null"),
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


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "~"])
def test_nothing_is_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "names: [no, 02146, 1_0, 1e3, null, ~, 2001-12-14, true, 0x1F, '5']",
        "names:\n- no\n- 02146\n- 1_0\n- 1e3\n- null\n- ~\n- 2001-12-14\n- true\n- 0x1F\n- '5'\n",
        "names: {1: 02146, 0: no, 2: 1_0, 3: 1e3, 4: null, 5: ~, 6: 2001-12-14, 7: true, 8: 0x1F, 9: 5}",
    ],
)
def test_names_are_text_as_it_is_written(text: str) -> None:
    document = parse_yaml(text, "x.yaml", ConfigError)
    expected = ("no", "02146", "1_0", "1e3", "null", "~", "2001-12-14", "true", "0x1F", "5")
    assert document.names("names") == expected
    assert document.line_of("names") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: cat", "line 1: names must be a list of names, not 'cat'"),
        ("\nnames: {0: a, 2: b}", "line 2: names must number its names from 0"),
        ("names: {a: 0}", "must number its names from 0"),
        ("names: [a, [b]]", "names that are not empty"),
        ("names: [a, '']", "names that are not empty"),
        ("names:\n- a\n-\n", "line 3: names must be a list of names that are not empty"),
    ],
)
def test_what_is_no_list_of_names_says_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, "x.yaml", ConfigError).names("names")


def test_names_that_are_not_there_or_further_down() -> None:
    document = parse_yaml("a: {b: [c]}\nd:\n", "x.yaml", ConfigError)
    assert document.names("names") is None
    assert document.names("d") is None
    assert document.names("a", "b") == ("c",)
    assert parse_yaml("", "x.yaml", ConfigError).names("a") is None


def test_numbers_and_lists_know_how_they_were_written() -> None:
    tree = parse_yaml("a: 007\nb: [no, ~, 1e3, {c: 1_0}]\nd: {e: 010}\n", "x.yaml", ConfigError).written
    assert tree == {"a": 7, "b": ["no", None, 1000.0, {"c": "1_0"}], "d": {"e": 10}}
    assert as_written(tree["a"]) == "007"
    assert as_written(tree["b"]) == ["no", "~", "1e3", {"c": "1_0"}]
    assert as_written(tree["d"]) == {"e": "010"}
    plain = forget_text(tree)
    assert plain == tree
    assert type(plain["a"]) is int
    assert type(plain["b"]) is list
    assert type(plain["b"][2]) is float


def test_a_file_is_read_with_a_byte_order_mark_and_without_one_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffname: caf\u00e9\n".encode())
    assert load_yaml(path, "settings", ConfigError).value == {"name": "café"}
    path.write_text("a: " + "x" * 100)
    with pytest.raises(ConfigError, match="103 bytes, but settings have 50 at most"):
        load_yaml(path, "settings", ConfigError, most=50)
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError, match="line 2: the byte 0xe9 is not UTF-8"):
        load_yaml(path, "settings", ConfigError)
