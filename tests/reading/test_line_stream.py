"""Lines of long files, one after another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.errors import DataError
from toolkit.reading import line_stream
from toolkit.reading.files import read_lines
from toolkit.reading.line_stream import byte_lines, count_lines, text_lines

CASES = [
    b"",
    b"\n\n",
    b"a",
    b"a\nb\n",
    b"a\r\nb",
    b"\xef\xbb\xbfa\n b \n\n",
    b"caf\xe9.png\n",
    "ä.png\n".encode(),
]


@pytest.mark.parametrize("data", CASES)
def test_lines_are_those_of_the_whole_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    assert list(text_lines(path, "names", DataError)) == read_lines(path, "names", DataError)
    found = list(byte_lines(path, "names", DataError))
    assert b"".join(line for _, line in found) == data
    assert all(data[offset:].startswith(line) for offset, line in found)
    assert count_lines(path, "names", DataError) == len(found)


def test_a_line_that_is_too_long_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_stream, "MOST_LINE", 4)
    (tmp_path / "a").write_bytes(b"0123456789\nab\n")
    found = list(byte_lines(tmp_path / "a", "names", DataError))
    assert found == [(0, b"0123"), (4, b"4567"), (8, b"89\n"), (11, b"ab\n")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfea\0", "is text in UTF-16, not UTF-8; it should contain names"),
        (b"a\nb\0\n", r"is not text; it should contain names\. Hint: write one entry per line"),
    ],
)
def test_what_is_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataError, match=message):
        list(text_lines(tmp_path / "a", "names", DataError))


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in (("nowhere", "does not exist"), (".", "is a folder"), ("pipe", "is a named pipe")):
        for read in (byte_lines, text_lines):
            with pytest.raises(DataError, match=message):
                list(read(tmp_path / path, "names", DataError))
        with pytest.raises(DataError, match=message):
            count_lines(tmp_path / path, "names", DataError)
