"""Files in stores: what is read, tried again, and said; against fsspec's store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from toolkit.errors import DownloadError, UnavailableError, UsageError
from toolkit.runtime import stores
from toolkit.runtime.stores import (
    ATTEMPTS,
    host_and_path,
    is_store,
    open_store,
    read_store,
    shown_url,
    stat_store,
    walk_store,
)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(stores, "BACKOFF", 0.0)
    fs = fsspec.filesystem("memory")
    for name in ("a.txt", "deep/b.txt", "deep/er/c.txt", "z.txt"):
        fs.pipe_file(f"/shelf/{name}", name.encode())
    yield fs
    fs.rm("/shelf", recursive=True)


@pytest.mark.parametrize(
    ("word", "want"),
    [
        ("s3://bucket/a.jpg", True),
        ("GS://bucket/a.jpg", True),
        ("az://box/a.jpg", True),
        ("memory://a.jpg", True),
        ("https://example.org/a.jpg", False),
        ("http://example.org/a.jpg", False),
        ("ftp://example.org/a.jpg", False),
        ("nothing://a", False),
        ("s3:/a", False),
        ("photos/a.jpg", False),
    ],
)
def test_which_addresses_are_those_of_stores(word: str, want: bool) -> None:
    assert is_store(word) == want


def test_files_and_folders(memory: Any) -> None:
    assert read_store("memory://shelf/deep/b.txt") == b"deep/b.txt"
    found = list(walk_store("memory://shelf/"))
    names = [host_and_path(file.url).lstrip("/") for file in found]
    assert names == ["shelf/a.txt", "shelf/z.txt", "shelf/deep/b.txt", "shelf/deep/er/c.txt"]
    assert [file.size for file in found] == [5, 5, 10, 13]
    assert [read_store(file.url) for file in found] == [n.removeprefix("shelf/").encode() for n in names]
    state = stat_store("memory://shelf/a.txt")
    assert state == found[0]
    assert state.modified is not None
    memory.pipe_file("/shelf/a.txt", b"other")
    assert stat_store("memory://shelf/a.txt").modified != state.modified


def test_what_is_not_there(memory: Any) -> None:
    for read in (read_store, stat_store):
        with pytest.raises(
            DownloadError, match=r"shelf/no\.txt cannot be read: it does not exist\. Hint: check"
        ):
            read("memory://shelf/no.txt")
    with pytest.raises(DownloadError, match=r"shelf/deep is a folder\. Hint: end its address with /"):
        read_store("memory://shelf/deep")
    with pytest.raises(DownloadError, match="does not exist"):
        list(walk_store("memory://nowhere/"))


def test_what_is_too_large(memory: Any) -> None:
    with pytest.raises(DownloadError, match="larger than the 4 bytes that are allowed"):
        read_store("memory://shelf/a.txt", limit=4)


@pytest.mark.parametrize("faults", [0, 1, ATTEMPTS - 1, ATTEMPTS])
def test_faults_that_pass_are_waited_for(memory: Any, monkeypatch: pytest.MonkeyPatch, faults: int) -> None:
    left, read = [faults], type(memory).cat_file

    def cat_file(self: Any, path: str) -> bytes:
        if left[0]:
            left[0] -= 1
            raise OSError("SlowDown: reduce your request rate\nand more")
        return read(self, path)

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    if faults < ATTEMPTS:
        assert read_store("memory://shelf/a.txt") == b"a.txt"
    else:
        message = r"cannot be read: SlowDown: reduce your request rate\. Hint: check .* your credentials"
        with pytest.raises(DownloadError, match=message):
            read_store("memory://shelf/a.txt")
    assert left == [0]


@pytest.mark.parametrize(("has_answered", "tries"), [(False, 2), (True, ATTEMPTS)])
def test_a_store_that_has_never_answered_is_given_up_sooner(
    memory: Any, monkeypatch: pytest.MonkeyPatch, has_answered: bool, tries: int
) -> None:
    now, made = [0.0], []
    monkeypatch.setattr("toolkit.runtime.stores.time.monotonic", lambda: now[0])
    monkeypatch.setattr(stores, "_answered", {"shelf"} if has_answered else set())

    def info(self: Any, path: str, **options: Any) -> None:
        made.append(path)
        now[0] += 0.6 * stores.FIRST_SECONDS
        raise OSError("could not connect")

    monkeypatch.setattr(type(memory), "info", info)
    with pytest.raises(DownloadError, match=r"cannot be read: could not connect\. Hint: "):
        stat_store("memory://shelf/a.txt")
    assert len(made) == tries


def test_what_will_not_pass_is_not_tried_again(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def cat_file(self: Any, path: str) -> bytes:
        tries.append(path)
        raise PermissionError("Access Denied.")

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    with pytest.raises(
        DownloadError, match=r"cannot be read: Access Denied\. Hint: check the address and your"
    ):
        read_store("memory://shelf/a.txt")
    assert len(tries) == 1


def test_a_file_that_is_cut_off(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(memory), "cat_file", lambda self, path: b"a.")
    with pytest.raises(DownloadError, match="was cut off"):
        read_store("memory://shelf/a.txt")


def test_passwords_are_not_shown() -> None:
    assert shown_url("sftp://me:secret@host/a.jpg") == "sftp://host/a.jpg"
    assert shown_url("s3://bucket/a@b.jpg") == "s3://bucket/a@b.jpg"
    assert host_and_path("sftp://me:secret@host/x/a.jpg") == "host/x/a.jpg"


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def url_to_fs(url: str) -> None:
        raise ImportError("Install gcsfs to access GS")

    monkeypatch.setattr("fsspec.core.url_to_fs", url_to_fs)
    with pytest.raises(UnavailableError, match=r"a\.jpg needs a library .* Hint: pip install gcsfs"):
        open_store("gs://bucket/a.jpg")
    with pytest.raises(DownloadError, match="Hint: pip install gcsfs"):
        read_store("gs://bucket/a.jpg")


def test_chains_are_refused() -> None:
    with pytest.raises(UsageError, match="is a chain of addresses"):
        open_store("zip://a.jpg::s3://bucket/x.zip")
