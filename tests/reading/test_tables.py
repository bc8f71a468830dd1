"""Tables are read row by row, and a cell that never ends is an error with its line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import DataError
from toolkit.reading.tables import read_table

CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\x85")
)


def rows(text: str) -> list[list[str]]:
    return [cells for _, cells in read_table(text, "t.csv", DataError)]


@given(
    st.lists(st.lists(CELLS.filter(lambda cell: cell == cell.lstrip()), min_size=2, max_size=4), max_size=5)
)
def test_what_is_written_is_read_back(table: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(table)
    assert rows(file.getvalue()) == table


def test_lines_are_counted_and_cells_may_have_line_ends() -> None:
    found = list(read_table('a,b\n"x\ny",2\n\nc,3\r\n', "t.csv", DataError))
    assert found == [(1, ["a", "b"]), (3, ["x\ny", "2"]), (4, []), (5, ["c", "3"])]
    assert rows("") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1," + "x" * 131_073 + "\n", 2),
        ('a,b\n1,"' + "never closed\n" * 20_000, 10084),
        ('a,b\n1,"x"y\n', 2),
        ("a\0,b\n", 1),
    ],
)
def test_what_is_no_table_is_named_with_its_line(text: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"^t.csv, line {line}: not a table of comma-separated.*Hint: "):
        rows(text)
