"""JSON that is cut off, bombed or odd is an error with its place, and never a hang or a traceback."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import DataError
from toolkit.reading.json_text import MOST_LEVELS, load_json, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_the_standard_library_writes_is_read_back(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert parse_json(text, "here", "values", DataError) == value


def test_a_byte_order_mark_and_python_s_numbers_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [NaN, Infinity, -Infinity]}')
    nan, *infinite = load_json(tmp_path / "a.json", "values", DataError)["a"]
    assert math.isnan(nan)
    assert infinite == [math.inf, -math.inf]


@pytest.mark.parametrize("levels", [MOST_LEVELS - 2, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_limited(levels: int, opening: str, closing: str) -> None:
    text = f"{opening * levels}1{closing * levels}"
    if levels < MOST_LEVELS:
        value = parse_json(text, "here", "values", DataError)
        for _ in range(levels):
            value = value[0] if isinstance(value, list) else value["a"]
        assert value == 1
    else:
        with pytest.raises(DataError, match="here is not valid JSON: .*more than 200 levels deep.*line 1"):
            parse_json(text, "here", "values", DataError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty; it should contain values"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b'{"a": [1,', "cut off within one value"),
        (b'{"a": 1} more', "not valid JSON.*trailing characters"),
        (b"{'a': 1}", "not valid JSON.*line 1 column 2"),
        (b'["caf\xe9"]', "not valid JSON"),
        (b'["\\ud83d"]', "a surrogate .* is not paired"),
        (b"[" + b"9" * 5_000 + b"]", "a number has too many digits"),
        ('["a"]'.encode("utf-16"), "UTF-16"),
    ],
)
def test_what_cannot_be_read_says_why(text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse_json(text, "here", "values", DataError)
    assert "Hint: " in str(caught.value)


def test_a_long_number_that_python_can_hold_is_left_to_those_who_use_it() -> None:
    assert parse_json(b"[1" + b"0" * 400 + b"]", "here", "values", DataError) == [10**400]
