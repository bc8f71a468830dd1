"""Only regular files of a plausible size are read, and what is not UTF-8 is said so with its place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from toolkit.errors import ConfigError, DataError, UsageError
from toolkit.reading.files import (
    decode,
    expanded,
    is_file,
    is_folder,
    is_there,
    read_bytes,
    read_lines,
    read_text,
)


def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    for data in (b"caf\xc3\xa9", b"\xef\xbb\xbfcaf\xc3\xa9"):
        (tmp_path / "a.txt").write_bytes(data)
        assert read_text(tmp_path / "a.txt", "words", DataError) == "café"
    (tmp_path / "empty.txt").touch()
    assert read_text(tmp_path / "empty.txt", "words", DataError) == ""


def test_lists_may_name_files_whose_names_are_no_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\n  caf\xe9 \n")
    assert read_lines(file, "names", DataError) == ["one", os.fsdecode(b"caf\xe9")]
    for data, message in ((b"a\0b", "is not text; it should contain names"), (b"\xff\xfea\0", "UTF-16")):
        file.write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_lines(file, "names", DataError)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_names_that_the_system_cannot_have_are_neither_file_nor_folder(tmp_path: Path, name: str) -> None:
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)
    assert is_folder(tmp_path)
    assert not is_file(tmp_path)


def test_neither_pipes_nor_devices_nor_folders_are_read(tmp_path: Path) -> None:
    """A pipe without a writer would be waited for without end."""
    os.mkfifo(tmp_path / "pipe")
    found: list[str] = []

    def read(path: Path) -> None:
        with pytest.raises(ConfigError, match="is (a named pipe|a device|a folder), not a file") as caught:
            read_bytes(path, "settings", ConfigError)
        found.append(str(caught.value))

    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        thread = threading.Thread(target=read, args=(path,), daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    assert len(found) == 3
    assert all("it should contain settings" in message for message in found)


def test_the_size_is_looked_at_before_anything_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse.json", "wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(DataError, match=r"107,374,182,400 bytes, but records have 4,294,967,296 at most"):
        read_bytes(tmp_path / "sparse.json", "records", DataError)
    (tmp_path / "small").write_bytes(b"12345")
    assert read_bytes(tmp_path / "small", "records", DataError, most=5) == b"12345"
    with pytest.raises(DataError, match="5 bytes, but records have 4 at most"):
        read_bytes(tmp_path / "small", "records", DataError, most=4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not-there.json", "does not exist; it should contain records. Hint: check its name"),
        ("loop.json", "cannot be read: Too many levels of symbolic links"),
        ("x" * 300, "cannot be read: File name too long"),
        ("a\0b", "is not a (valid )?file name"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_of_the_kind_asked_for(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    with pytest.raises(DataError, match=message):
        read_bytes(tmp_path / name, "records", DataError)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\ntwo\ncaf\xe9", r"here, line 3: the byte 0xe9 is not UTF-8.*encoding UTF-8"),
        (b"\xed\xa0\x80", r"here, line 1: the byte 0xed is not UTF-8"),
        (b"half of a character \xe2\x82", "the byte 0xe2 is not UTF-8"),
        ("words".encode("utf-16"), "text in UTF-16, not UTF-8"),
        ("words".encode("utf-32"), "text in UTF-32, not UTF-8"),
    ],
)
def test_other_encodings_are_named_or_placed(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(data, "here", "words", DataError)


def test_a_link_that_leads_nowhere_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    assert is_there(tmp_path / "a")
    assert not is_file(tmp_path / "a")
    for name in ("b", "x" * 300, "a\0b"):
        assert not is_there(tmp_path / name)


def test_the_folder_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert expanded("~/a") == tmp_path / "a"
    assert expanded("a/~b") == Path("a/~b")
    with pytest.raises(UsageError, match=r"there is no user 'nobody-here' .*Hint: write the whole path"):
        expanded("~nobody-here/a")
    (tmp_path / "~nobody-here").mkdir()
    assert expanded("~nobody-here/a") == Path("~nobody-here/a")
