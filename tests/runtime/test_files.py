"""Atomic writing: the whole file or nothing, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.errors import OutputError
from toolkit.runtime.files import atomic_write, nearest_path


def write(path: Path, content: bytes = b"half", error: BaseException | None = None) -> None:
    with atomic_write(path) as file:
        file.write(content)
        if error is not None:
            raise error


def test_writes_bytes_and_text_and_makes_folders(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a" / "b" / "x.bin") as file:
        file.write(b"\0\1")
    with atomic_write(str(tmp_path / "x.txt"), "w", sync=True) as file:
        file.write("größe\n")
    assert (tmp_path / "a/b/x.bin").read_bytes() == b"\0\1"
    assert (tmp_path / "x.txt").read_bytes() == "größe\n".encode()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "x.txt"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), FileNotFoundError(2, "gone", "other.txt")]
)
def test_an_error_in_the_block_leaves_no_trace_and_passes_through(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write(path, error=error)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


FAULTS = [
    (errno.ENOSPC, r"the disk is full\. Hint: free some space"),
    (errno.EDQUOT, r"quota is used up\. Hint"),
    (errno.EACCES, r"permission denied\. Hint: change the folder's permissions"),
    (errno.EROFS, r"read-only\. Hint: write to another folder"),
    (errno.EIO, r"Input/output error\. Hint: check the disk"),
]


@pytest.mark.parametrize(("number", "message"), FAULTS)
def test_system_errors_name_the_file_and_the_hint(tmp_path: Path, number: int, message: str) -> None:
    with pytest.raises(OutputError, match=rf"x\.bin cannot be written: .*{message}"):
        write(tmp_path / "x.bin", error=OSError(number, os.strerror(number)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["builtins.open", "os.replace", "pathlib.Path.mkdir"])
def test_errors_of_opening_renaming_and_folders(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: object, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(place, denied)
        with pytest.raises(OutputError, match=r"x\.bin cannot be written: permission denied"):
            write(tmp_path / "new" / "x.bin")
    assert not (tmp_path / "new" / "x.bin").exists()


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x", tmp_path / "file" / "deep" / "x"):
        with pytest.raises(OutputError, match=r"x cannot be written: a part of its path is a file"):
            write(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"folder cannot be written: it is a folder"):
        write(tmp_path / "folder")


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with atomic_write(tmp_path / "atomic") as file:
        file.write(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_many_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"

    def repeat(byte: int) -> None:
        for _ in range(20):
            write(path, bytes([byte]) * 50_000)

    threads = [threading.Thread(target=repeat, args=(byte,)) for byte in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert len(content) == 50_000
    assert len(set(content)) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where the machine lets us mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_really_full(tiny_disk: Path) -> None:
    write(tiny_disk / "small")
    with pytest.raises(OutputError, match=r"large cannot be written: the disk is full"):
        write(tiny_disk / "large", b"1" * 1_000_000)
    assert [p.name for p in tiny_disk.iterdir()] == ["small"]


def test_the_nearest_path(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert nearest_path(tmp_path / "photo") == tmp_path / "photos"
    assert nearest_path(tmp_path / "zzz") is None
    assert nearest_path(tmp_path / "absent" / "photos") is None
