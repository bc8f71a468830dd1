"""What downloads promise, against a server on this machine that misbehaves in every way it can."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support.file_server import BODY, FileServer

from toolkit.errors import DownloadError, OutputError
from toolkit.registry.manifests import Download
from toolkit.runtime.downloads import fetch, weights_folder
from toolkit.runtime.locks import lock_of

SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


def pinned(server: FileServer, body: bytes = BODY) -> Download:
    """All is published."""
    return Download(server.url, hashlib.sha256(body).hexdigest(), len(body))


def bare(server: FileServer) -> Download:
    """Nothing is published but the address."""
    return Download(server.url)


def quick(wanted: Download, folder: Path, attempts: int = 3, **options: Any) -> Path:
    return fetch(wanted, folder, attempts=attempts, backoff=0.001, timeout=5, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- with a published checksum ---


def test_the_whole_file(file_server: FileServer, tmp_path: Path) -> None:
    path = quick(pinned(file_server), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "data.bin"
    assert path.read_bytes() == BODY
    assert names(path.parent) == ["data.bin"]
    assert file_server.behavior.requests == [None]


@pytest.mark.parametrize(
    "checksum",
    [f"md5:{MD5}", f"md5:{MD5[:6]}", f"sha256:{SHA256[:8]}", f"sha1:{hashlib.sha1(BODY).hexdigest()}"],
)
def test_other_kinds_of_checksums_and_their_first_digits(
    file_server: FileServer, tmp_path: Path, checksum: str
) -> None:
    wanted = Download(file_server.url, checksum=checksum)
    assert quick(wanted, tmp_path).read_bytes() == BODY
    assert names(tmp_path) == ["data.bin"], "what is published need not be kept"
    quick(wanted, tmp_path)
    assert file_server.behavior.requests == [None]


@pytest.mark.parametrize("checksum", [f"md5:{'0' * 32}", "md5:000000", f"sha256:{'0' * 8}"])
def test_another_file_than_was_published(file_server: FileServer, tmp_path: Path, checksum: str) -> None:
    kind, _, digits = checksum.partition(":")
    beginning = "" if len(digits) == 32 else "one that begins with "
    found = hashlib.new(kind, BODY).hexdigest()
    with pytest.raises(DownloadError, match=f"the file's {kind} is {found} instead of {beginning}{digits}"):
        quick(Download(file_server.url, checksum=checksum), tmp_path)
    assert file_server.behavior.requests == [None], "the same file would come again"
    assert names(tmp_path) == []


def test_what_is_there_is_not_fetched_again(file_server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(BODY)
    quick(pinned(file_server), tmp_path)
    assert file_server.behavior.requests == []
    (tmp_path / "data.bin").write_bytes(BODY[:-1] + b"x")
    assert quick(pinned(file_server), tmp_path).read_bytes() == BODY
    assert file_server.behavior.requests == [None]


def test_another_name(file_server: FileServer, tmp_path: Path) -> None:
    wanted = Download(file_server.url, SHA256, len(BODY), filename="other.bin")
    assert quick(wanted, tmp_path).name == "other.bin"


@pytest.mark.parametrize(
    "stale",
    [b"something else" * 5000, b"z" * 200_000, b"y" * len(BODY)],
    ids=["shorter", "longer", "as long"],
)
def test_starts_over_from_a_part_of_something_else(
    file_server: FileServer, tmp_path: Path, stale: bytes
) -> None:
    (tmp_path / "data.bin.part").write_bytes(stale)
    assert quick(pinned(file_server), tmp_path).read_bytes() == BODY


def test_wrong_checksum_is_final(file_server: FileServer, tmp_path: Path) -> None:
    wanted = pinned(file_server, BODY[:-1] + b"x")
    with pytest.raises(DownloadError, match=f"the file's sha256 is {SHA256} instead of {wanted.sha256}"):
        quick(wanted, tmp_path)
    assert file_server.behavior.requests == [None], "the same file would come again"
    assert names(tmp_path) == []


@pytest.mark.parametrize("body", [BODY + b"more", BODY * 20], ids=["a little", "much"])
def test_longer_than_it_may_be(file_server: FileServer, tmp_path: Path, body: bytes) -> None:
    file_server.behavior.body = body
    with pytest.raises(DownloadError, match=r"bytes instead of 102,400"):
        quick(pinned(file_server), tmp_path)


def test_a_shorter_file_on_the_server(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.body = BODY[:50_000]
    with pytest.raises(DownloadError, match="closed after 50,000 of 102,400 bytes|answered 416"):
        quick(pinned(file_server), tmp_path)
    assert not (tmp_path / "data.bin").exists()


# --- without one ---


def test_the_sha256_of_an_unpublished_file_is_shown_kept_and_checked(
    file_server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "toolkit")
    path = quick(bare(file_server), tmp_path)
    assert path.read_bytes() == BODY
    assert (tmp_path / "data.bin.sha256").read_text() == f"{SHA256}  data.bin\n"
    assert SHA256 in caplog.text
    assert names(tmp_path) == ["data.bin", "data.bin.sha256"]
    quick(bare(file_server), tmp_path)
    assert file_server.behavior.requests == [None]


def test_a_file_that_has_changed_since_is_refused_and_the_advice_works(
    file_server: FileServer, tmp_path: Path
) -> None:
    path = quick(bare(file_server), tmp_path)
    path.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(
        DownloadError, match=r"has changed since it was downloaded.*Hint: remove .*data\.bin to download"
    ):
        quick(bare(file_server), tmp_path)
    assert path.read_bytes() == BODY[:-1] + b"x", "it may be the user's"
    path.unlink()
    assert quick(bare(file_server), tmp_path).read_bytes() == BODY
    path.write_bytes(BODY[:-1] + b"x")
    (tmp_path / "data.bin.sha256").unlink()
    assert quick(bare(file_server), tmp_path).read_bytes() == BODY[:-1] + b"x"


def test_a_file_that_the_server_has_changed_since_is_refused_and_the_advice_works(
    file_server: FileServer, tmp_path: Path
) -> None:
    quick(bare(file_server), tmp_path).unlink()
    file_server.behavior.body = b"another"
    with pytest.raises(
        DownloadError, match=r"is not the file that was downloaded .*Hint: .* remove .*\.sha256"
    ):
        quick(bare(file_server), tmp_path)
    assert names(tmp_path) == ["data.bin.sha256"]
    (tmp_path / "data.bin.sha256").unlink()
    assert quick(bare(file_server), tmp_path).read_bytes() == b"another"


def test_a_file_that_was_put_there_by_hand_is_kept_in_mind(file_server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"mine")
    assert quick(bare(file_server), tmp_path).read_bytes() == b"mine"
    assert file_server.behavior.requests == []
    kept = (tmp_path / "data.bin.sha256").read_text()
    assert kept.split() == [hashlib.sha256(b"mine").hexdigest(), "data.bin"]


def test_a_published_size_alone_is_checked(file_server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"has 102,400 bytes instead of 102,399"):
        quick(Download(file_server.url, size=len(BODY) - 1), tmp_path)
    assert names(tmp_path) == []
    assert quick(Download(file_server.url, size=len(BODY)), tmp_path).read_bytes() == BODY
    assert names(tmp_path) == ["data.bin", "data.bin.sha256"]


def test_plain_http_without_a_whole_checksum_is_warned_of(
    file_server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick(pinned(file_server), tmp_path / "a")
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]
    for number, checksum in enumerate(("", f"md5:{MD5[:6]}")):
        quick(Download(file_server.url, checksum=checksum), tmp_path / str(number))
        assert "plain HTTP" in caplog.text
        caplog.clear()


def test_an_empty_file(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.body = b""
    assert quick(bare(file_server), tmp_path).read_bytes() == b""


def test_a_page_to_sign_in_at_does_not_pass_for_a_file(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="the server sent a web page instead of the file"):
        quick(bare(file_server), tmp_path)
    assert names(tmp_path) == []
    assert quick(pinned(file_server), tmp_path).read_bytes() == BODY, "the checksum tells"


# --- servers in trouble ---


def test_goes_on_after_a_transfer_that_breaks_off(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.cut_after = [30_000, 1, 40_000]
    assert quick(pinned(file_server), tmp_path).read_bytes() == BODY
    assert file_server.behavior.requests == [None, "bytes=30000-", "bytes=30001-", "bytes=70001-"]
    assert names(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("published", [True, False])
def test_gives_up_when_nothing_arrives_and_keeps_what_has(
    file_server: FileServer, tmp_path: Path, published: bool
) -> None:
    file_server.behavior.cut_after = [30_000, 0, 0, 0, 0]
    file_server.behavior.etag = '"1"'
    wanted = pinned(file_server) if published else bare(file_server)
    with pytest.raises(DownloadError, match=r"closed after 30,000 of 102,400 bytes \(tried 3 times\)"):
        quick(wanted, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == BODY[:30_000]
    assert not (tmp_path / "data.bin").exists()
    assert not (tmp_path / "data.bin.sha256").exists()
    file_server.behavior.cut_after = []
    assert quick(wanted, tmp_path).read_bytes() == BODY
    assert file_server.behavior.requests[-1] == "bytes=30000-"


def test_a_server_in_trouble_is_asked_again(file_server: FileServer, tmp_path: Path) -> None:
    file_server.behavior.failures = [503, 429]
    assert quick(pinned(file_server), tmp_path).read_bytes() == BODY
    assert len(file_server.behavior.requests) == 3


@pytest.mark.parametrize("published", [True, False])
def test_not_found_is_final_and_says_what_to_do_by_hand(
    file_server: FileServer, tmp_path: Path, published: bool
) -> None:
    file_server.behavior.failures = [404] * 9
    wanted = pinned(file_server) if published else bare(file_server)
    with pytest.raises(DownloadError) as caught:
        quick(wanted, tmp_path, instead="draw some with toolkit data sample")
    message = str(caught.value)
    assert f"{wanted.url} could not be downloaded: the server answered 404 Not Found" in message
    assert "Hint: try again later" in message
    assert f"put it at {tmp_path / 'data.bin'}" in message
    assert (f"(102,400 bytes, sha256 {wanted.sha256})" in message) == published
    assert "then run the command again" in message
    assert message.endswith("; or draw some with toolkit data sample")
    assert len(file_server.behavior.requests) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("checksum", ["", f"md5:{'0' * 32}"])
def test_offline(tmp_path: Path, no_proxy: None, checksum: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    wanted = Download(f"http://127.0.0.1:{port}/data.zip", checksum=checksum)
    with pytest.raises(DownloadError, match=r"no connection: .*refused.*\n.*put it at .*data.zip") as caught:
        quick(wanted, tmp_path)
    assert "tried 3 times" in str(caught.value)
    assert names(tmp_path) == []


def test_a_server_that_says_nothing(tmp_path: Path, no_proxy: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wanted = Download(f"http://127.0.0.1:{silent.getsockname()[1]}/data.zip", "0" * 64, 5)
        with pytest.raises(DownloadError, match="timed out"):
            fetch(wanted, tmp_path, attempts=1, timeout=0.05)


def test_through_a_proxy(file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", file_server.root)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    wanted = Download("http://data.invalid/file.bin", SHA256, len(BODY))
    assert quick(wanted, tmp_path).read_bytes() == BODY


def test_a_folder_that_cannot_be_written(file_server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        quick(pinned(file_server), tmp_path / "file")


def test_who_comes_second_waits_and_fetches_nothing(file_server: FileServer, tmp_path: Path) -> None:
    """As the processes of one training do, which all want the same weights."""
    first = FileLock(lock_of(tmp_path / "data.bin"))
    first.acquire()
    second = threading.Thread(target=quick, args=(bare(file_server), tmp_path))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    (tmp_path / "data.bin").write_bytes(BODY)
    first.release()
    second.join(10)
    assert not second.is_alive()
    assert file_server.behavior.requests == []
    assert (tmp_path / "data.bin").read_bytes() == BODY


def test_a_file_system_without_locks(
    file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert quick(pinned(file_server), tmp_path).read_bytes() == BODY


def test_where_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOOLKIT_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / ".cache" / "toolkit" / "weights"
    monkeypatch.setenv("TOOLKIT_WEIGHTS", "elsewhere")
    assert weights_folder() == Path("elsewhere")
