"""The types of fields, at their limits; and values in messages."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from toolkit.reading.fields import Count, FileName, Id, Name, Number, Pixels, Text, Whole, is_number, shown

ODD = [True, None, "1", [1], {"a": 1}, 10**400, -(10**400), math.nan, math.inf, -math.inf]


def fits(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", [Number, Pixels, Whole, Count])
def test_numbers_are_neither_text_nor_truth_values_nor_endless(kind: Any) -> None:
    assert [value for value in ODD if fits(kind, value)] == []
    assert fits(kind, 3)
    assert fits(kind, 3.0)


def test_whole_numbers_and_counts_at_their_limits() -> None:
    assert TypeAdapter(Whole).validate_python(3.0) == 3
    assert type(TypeAdapter(Whole).validate_python(-3.0)) is int
    assert not fits(Whole, 2.5)
    assert [fits(Whole, value) for value in (2**63 - 1, 2**63, -(2**63), -(2**63) - 1)] == [
        True,
        False,
        True,
        False,
    ]
    assert [fits(Count, value) for value in (0, -1)] == [True, False]
    assert [fits(Pixels, value) for value in (-1e7, 1e7, 1.1e7, -1e8)] == [True, True, False, False]


def test_ids_are_whole_numbers_or_text() -> None:
    assert [value for value in ["a", 0, -5, 4.0] if not fits(Id, value)] == []
    assert TypeAdapter(Id).validate_python(4.0) == 4
    refused = ["", 2.5, True, None, [], {}, [{}], 10**400, math.nan, "a\0b", "\ud800"]
    assert [value for value in refused if fits(Id, value)] == []


def test_text_can_be_written_and_names_are_not_empty() -> None:
    for kind in (Text, Name, FileName):
        assert not fits(kind, "cup \ud83d")
        assert not fits(kind, "a\0b")
        assert not fits(kind, 5)
        assert fits(kind, "caf\u00e9 \U0001f600")
    assert fits(Text, "")
    assert not fits(Name, "")
    assert not fits(FileName, "x" * 5_000)


@given(st.floats() | st.integers() | st.booleans() | st.text())
def test_a_number_is_what_a_float_can_hold(value: Any) -> None:
    is_one = not isinstance(value, (bool, str)) and abs(value) < 1.8e308
    assert is_number(value) == is_one


@given(
    st.recursive(
        st.integers() | st.text() | st.binary() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_shown_is_short_and_printable(value: Any) -> None:
    text = shown(value)
    assert len(text) <= 60
    assert text.isprintable()


def test_values_that_are_too_large_to_show() -> None:
    assert shown(10**5000) == "a very long int"
    assert len(shown([[10**5000]])) <= 60
    assert shown(list(range(10**6))) == "[0, 1, 2, 3, 4, 5, 6, 7, ...]"
    assert shown("\x1b[31mred\n") == r"'\x1b[31mred\n'"
    assert shown(5) == "5"
