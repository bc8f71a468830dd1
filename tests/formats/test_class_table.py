from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.data.label_values import LabelValues
from toolkit.errors import DataError
from toolkit.formats.class_table import ClassRow, read_class_table, write_class_table

PALETTE = [(128, 128, 128), (0, 10, 255)]


def test_a_table_says_what_values_stand_for_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    write_class_table(path, ["sky", "tree, leafless"], LabelValues((1, 2), 0), PALETTE)
    assert path.read_text() == (
        'index,value,name,color\n0,1,sky,#808080\n1,2,"tree, leafless",#000aff\n,0,void,#e0e0c0\n'
    )
    assert read_class_table(path) == (ClassRow(1, "sky"), ClassRow(2, "tree, leafless"), ClassRow(0, None))


def test_without_void_there_is_no_row_for_it(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    write_class_table(path, ["sky", "tree"], LabelValues((0, 255), None), PALETTE)
    assert [row.value for row in read_class_table(path)] == [0, 255]


def test_spreadsheets_write_it_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes("\ufeffname,value\r\nsky,7\r\n".encode())
    assert read_class_table(path) == (ClassRow(7, "sky"),)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no column 'value' or no rows"),
        ("index,name\n0,sky\n", "has no column 'value'"),
        ("value,name\n256,sky\n", "line 2: '256', 'sky'; expected a value from 0 to 255"),
        ("value,name\n-1,sky\n", "line 2: '-1'"),
        ("value,name\n1,\n", "line 2: '1', ''"),
        ("value,name\n1\n", "line 2: '1', ''"),
        ("value,name\n1,sky\n1,tree\n", "has the value 1 twice"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=fault):
        read_class_table(path)


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_bytes(b"value,name\n1,\xff\n")
    with pytest.raises(
        DataError, match="line 2: the byte 0xff is not UTF-8; it should contain a table of classes"
    ):
        read_class_table(tmp_path / "classes.csv")


def test_a_class_that_is_called_void(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    write_class_table(path, ["sky", "void"], LabelValues((1, 2), 0), PALETTE)
    assert read_class_table(path) == (ClassRow(1, "sky"), ClassRow(2, "void"), ClassRow(0, None))
    path.write_text("value,name\n1,sky\n9,void\n")
    assert read_class_table(path) == (ClassRow(1, "sky"), ClassRow(9, None))
