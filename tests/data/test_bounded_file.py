"""A file for parsers: nothing beyond its size, no more than a number of bytes and of reads."""

from __future__ import annotations

from io import SEEK_CUR, SEEK_END, BytesIO

import pytest

from toolkit.data import bounded_file
from toolkit.data.bounded_file import BoundedFile


def test_it_reads_like_a_file_of_its_size() -> None:
    file = BoundedFile(BytesIO(b"0123456789"), 8)
    assert file.read(3) == b"012"
    assert file.seek(-2, SEEK_END) == 6
    assert file.read() == b"67"
    assert file.read(5) == b""
    assert file.seek(-20, SEEK_CUR) == 0
    assert file.tell() == 0
    assert file.read(None) == b"01234567"


def test_reading_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    file = BoundedFile(BytesIO(bytes(100)), 100, most=10)
    file.read(10)
    with pytest.raises(ValueError, match="does not end"):
        file.read(1)
    monkeypatch.setattr(bounded_file, "HEADER_READS", 3)
    file = BoundedFile(BytesIO(bytes(100)), 100)
    for _ in range(3):
        file.read(0)
    with pytest.raises(ValueError, match="does not end"):
        file.read(0)
