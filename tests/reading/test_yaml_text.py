"""Documents and files of YAML, and names in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ConfigError
from toolkit.reading.yaml_text import dump_yaml, load_yaml, parse_yaml


def parse(text: str) -> Any:
    return parse_yaml(text, "x.yaml", ConfigError).value


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
