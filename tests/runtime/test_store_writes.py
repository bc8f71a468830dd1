"""Files put into stores: whole or not at all, again if that may help; against fsspec's own stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from toolkit.errors import DownloadError, OutputError
from toolkit.runtime import stores
from toolkit.runtime.store_writes import (
    fetch_store,
    files_in_store,
    found_in_store,
    remove_store,
    write_store,
)
from toolkit.runtime.stores import ATTEMPTS


@pytest.fixture(params=["memory", "file"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in a store that publishes whole files, and in one where they are renamed."""
    monkeypatch.setattr(stores, "BACKOFF", 0.0)
    yield f"file://{tmp_path}/shelf" if request.param == "file" else "memory://shelf"
    if request.param == "memory":
        fs = fsspec.filesystem("memory")
        if fs.exists("/shelf"):
            fs.rm("/shelf", recursive=True)


def names(url: str) -> list[str]:
    return sorted(file.url.partition("/shelf/")[2] or file.url[-1:] for file in files_in_store(f"{url}/"))


def test_what_is_written_can_be_read(shelf: str, tmp_path: Path) -> None:
    assert files_in_store(f"{shelf}/") == []
    assert found_in_store(f"{shelf}/deep/a[1].txt") is None
    write_store(f"{shelf}/deep/a[1].txt", b"one")
    write_store(f"{shelf}/deep/a[1].txt", b"two")
    (tmp_path / "b").write_bytes(b"three")
    write_store(f"{shelf}/b", tmp_path / "b")
    assert found_in_store(f"{shelf}/deep/a[1].txt") == b"two"
    assert sorted(file.size for file in files_in_store(f"{shelf}/")) == [3, 5]
    assert fetch_store(f"{shelf}/b", tmp_path / "copy/b")
    assert (tmp_path / "copy/b").read_bytes() == b"three"
    assert not fetch_store(f"{shelf}/c", tmp_path / "copy/c")
    remove_store(f"{shelf}/b")
    remove_store(f"{shelf}/b")
    assert [file.size for file in files_in_store(f"{shelf}/")] == [3]
    with pytest.raises(FileNotFoundError):
        write_store(f"{shelf}/d", tmp_path / "missing")


def test_half_of_a_file_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BACKOFF", 0.0)
    url = f"file://{tmp_path}/shelf"
    write_store(f"{url}/a", b"before")
    tries = []

    def half(self: LocalFileSystem, path: str, value: bytes, **options: Any) -> None:
        Path(path).write_bytes(value[:2])
        tries.append(path)
        raise OSError("the connection broke")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", half)
    with pytest.raises(OutputError, match=r"shelf/a cannot be written: the connection broke\. Hint: check"):
        write_store(f"{url}/a", b"after")
    assert len(tries) == ATTEMPTS
    assert found_in_store(f"{url}/a") == b"before"
    assert names(url) == ["a"]


def test_faults_that_pass_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BACKOFF", 0.0)
    store = type(fsspec.filesystem("memory"))
    left, real = [ATTEMPTS - 1], store.pipe_file

    def busy(self: Any, path: str, value: bytes, **options: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError("SlowDown")
        real(self, path, value, **options)

    monkeypatch.setattr(store, "pipe_file", busy)
    write_store("memory://shelf/a", b"x")
    assert found_in_store("memory://shelf/a") == b"x"
    remove_store("memory://shelf/a")


def test_what_may_not_be_done_is_said_at_once_and_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    store, tries = type(fsspec.filesystem("memory")), []

    def refused(self: Any, *given: Any, **options: Any) -> None:
        tries.append(given)
        raise PermissionError("Access Denied for memory://me:secret@shelf")

    monkeypatch.setattr(store, "pipe_file", refused)
    with pytest.raises(
        OutputError, match=r"cannot be written: Access Denied .*credentials may write"
    ) as said:
        write_store("memory://me:secret@shelf/a", b"x")
    assert "secret" not in str(said.value)
    assert len(tries) == 1


def test_what_cannot_be_read_or_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_store("memory://shelf/a", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="a part of its path is a file"):
        fetch_store("memory://shelf/a", tmp_path / "file" / "a")
    remove_store("memory://shelf/a")

    def refused(self: Any, *given: Any, **options: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "ls", refused)
    with pytest.raises(DownloadError, match="cannot be read: Access Denied"):
        files_in_store("memory://shelf/")
