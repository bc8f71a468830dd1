"""What downloads promise, against a server on this machine that misbehaves in every way it can; and archives
that mean harm.
"""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from toolkit.errors import DownloadError, OutputError
from toolkit.registry.manifests import Download
from toolkit.runtime.downloads import fetch, is_archive, unpack

BODY = bytes(range(256)) * 400  # 102,400 bytes


class Server(ThreadingHTTPServer):
    """Serves BODY; the fields say how it misbehaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str | None] = []  # the Range header of each request
        self.body = BODY
        self.ranges = True
        self.failures: list[int] = []  # status codes of the next answers
        self.cut_after: list[int] = []  # bytes after which the next answers break off

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.server.failures:
            self.send_error(self.server.failures.pop(0))
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(self.server.body):
            self.send_error(416)
            return
        rest = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cut_after.pop(0)] if self.server.cut_after else rest)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def download(server: Server, body: bytes = BODY) -> Download:
    return Download(server.url, hashlib.sha256(body).hexdigest(), len(body))


def quick(wanted: Download, folder: Path, attempts: int = 3) -> Path:
    return fetch(wanted, folder, attempts=attempts, backoff=0.001, timeout=5)


def test_the_whole_file(server: Server, tmp_path: Path) -> None:
    path = quick(download(server), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "data.bin"
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["data.bin"]
    assert server.requests == [None]


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(BODY)
    quick(download(server), tmp_path)
    assert server.requests == []
    (tmp_path / "data.bin").write_bytes(BODY[:-1] + b"x")
    assert quick(download(server), tmp_path).read_bytes() == BODY
    assert server.requests == [None]


def test_another_name(server: Server, tmp_path: Path) -> None:
    wanted = Download(server.url, hashlib.sha256(BODY).hexdigest(), len(BODY), filename="other.bin")
    assert quick(wanted, tmp_path).name == "other.bin"


def test_resumes_where_it_stopped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(BODY[:70_000])
    assert quick(download(server), tmp_path).read_bytes() == BODY
    assert server.requests == ["bytes=70000-"]


def test_starts_over_where_the_server_cannot_resume(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(BODY[:70_000])
    assert quick(download(server), tmp_path).read_bytes() == BODY
    assert server.requests == ["bytes=70000-"]


@pytest.mark.parametrize(
    "stale",
    [b"something else" * 5000, b"z" * 200_000, b"y" * len(BODY)],
    ids=["shorter", "longer", "as long"],
)
def test_starts_over_from_a_part_of_something_else(server: Server, tmp_path: Path, stale: bytes) -> None:
    (tmp_path / "data.bin.part").write_bytes(stale)
    assert quick(download(server), tmp_path).read_bytes() == BODY


def test_goes_on_after_a_transfer_that_breaks_off(server: Server, tmp_path: Path) -> None:
    server.cut_after = [30_000, 1, 40_000]
    assert quick(download(server), tmp_path).read_bytes() == BODY
    assert server.requests == [None, "bytes=30000-", "bytes=30001-", "bytes=70001-"]


def test_gives_up_when_nothing_arrives_and_keeps_what_has(server: Server, tmp_path: Path) -> None:
    server.cut_after = [30_000, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"closed after 30,000 of 102,400 bytes \(tried 3 times\)"):
        quick(download(server), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == BODY[:30_000]
    assert not (tmp_path / "data.bin").exists()
    server.cut_after = []
    assert quick(download(server), tmp_path).read_bytes() == BODY


def test_wrong_checksum_is_final(server: Server, tmp_path: Path) -> None:
    wanted = download(server, BODY[:-1] + b"x")
    with pytest.raises(
        DownloadError,
        match=f"the file's sha256 is {hashlib.sha256(BODY).hexdigest()} instead of {wanted.sha256}",
    ):
        quick(wanted, tmp_path)
    assert server.requests == [None], "the same file would come again"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [BODY + b"more", BODY * 20], ids=["a little", "much"])
def test_longer_than_it_may_be(server: Server, tmp_path: Path, body: bytes) -> None:
    server.body = body
    with pytest.raises(DownloadError, match=r"bytes instead of 102,400"):
        quick(download(server), tmp_path)


def test_a_shorter_file_on_the_server(server: Server, tmp_path: Path) -> None:
    server.body = BODY[:50_000]
    with pytest.raises(DownloadError, match="closed after 50,000 of 102,400 bytes|answered 416"):
        quick(download(server), tmp_path)
    assert not (tmp_path / "data.bin").exists()


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.failures = [503, 429]
    assert quick(download(server), tmp_path).read_bytes() == BODY
    assert len(server.requests) == 3


def test_not_found_is_final_and_says_what_to_do_by_hand(server: Server, tmp_path: Path) -> None:
    server.failures = [404] * 9
    wanted = download(server)
    with pytest.raises(DownloadError) as caught:
        quick(wanted, tmp_path)
    message = str(caught.value)
    assert f"{wanted.url} could not be downloaded: the server answered 404 Not Found" in message
    assert f"put it at {tmp_path / 'data.bin'}" in message
    assert f"102,400 bytes and the sha256 {wanted.sha256}" in message
    assert len(server.requests) == 1


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    wanted = Download(f"http://127.0.0.1:{port}/data.zip", "0" * 64, 5)
    with pytest.raises(DownloadError, match=r"no connection: .*refused.*\n.*put it at .*data.zip") as caught:
        quick(wanted, tmp_path)
    assert "tried 3 times" in str(caught.value)


def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wanted = Download(f"http://127.0.0.1:{silent.getsockname()[1]}/data.zip", "0" * 64, 5)
        with pytest.raises(DownloadError, match="timed out"):
            fetch(wanted, tmp_path, attempts=1, timeout=0.05)


def test_through_a_proxy(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    wanted = Download("http://data.invalid/file.bin", hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert quick(wanted, tmp_path).read_bytes() == BODY


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        quick(download(server), tmp_path / "file")


# --- unpacking ---

Members = dict[str, bytes]


def zipped(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in members.items():
            bundle.writestr(name, data)
    return path


def tarred(path: Path, members: Members) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:].removeprefix('tar')}") as bundle:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            bundle.addfile(info, io.BytesIO(data))
    return path


PACKERS: list[tuple[str, Callable[[Path, Members], Path]]] = [
    ("a.zip", zipped),
    ("a.tar", tarred),
    ("a.tar.gz", tarred),
    ("a.tar.xz", tarred),
]


@pytest.mark.parametrize(("name", "pack"), PACKERS, ids=[name for name, _ in PACKERS])
def test_unpacks_beside_what_is_there(
    tmp_path: Path, name: str, pack: Callable[[Path, Members], Path]
) -> None:
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images" / "old.txt").write_text("old")
    (out / "images" / "a.txt").write_text("before")
    unpack(
        pack(tmp_path / name, {"images/a.txt": b"after", "images/deep/er/b.txt": b"b", "c.txt": b"c"}), out
    )
    found = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == {
        "images/a.txt": "after",
        "images/old.txt": "old",
        "images/deep/er/b.txt": "b",
        "c.txt": "c",
    }
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert is_archive(name)
    assert not is_archive("weights.npz")


WAYS_OUT = [
    *[
        ("a.zip", zipped, evil)
        for evil in ("../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "C:/evil.txt", "..\\evil.txt")
    ],
    *[
        ("a.tar", tarred, evil) for evil in ("../evil.txt", "a/../../evil.txt")
    ],  # it takes absolute paths as relative ones
]


@pytest.mark.parametrize(
    ("name", "pack", "evil"), WAYS_OUT, ids=[f"{name} {evil}" for name, _, evil in WAYS_OUT]
)
def test_paths_that_lead_out_are_refused(
    tmp_path: Path, name: str, pack: Callable[[Path, Members], Path], evil: str
) -> None:
    with pytest.raises(DownloadError, match="is not safe to unpack"):
        unpack(pack(tmp_path / name, {"good.txt": b"x", evil: b"evil"}), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [], "not even the harmless members"
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as bundle:
        bundle.writestr(link, "/etc")
    with pytest.raises(DownloadError, match="'link' is a link"):
        unpack(tmp_path / "link.zip", tmp_path / "out")
    for kind, target in (
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "../../secret"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ):
        info = tarfile.TarInfo("member")
        info.type, info.linkname = kind, target
        with tarfile.open(tmp_path / "bad.tar", "w") as archive:
            archive.addfile(info)
        with pytest.raises(DownloadError, match="'member'"):
            unpack(tmp_path / "bad.tar", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("name", "pack"), PACKERS, ids=[name for name, _ in PACKERS])
def test_damaged_archives(tmp_path: Path, name: str, pack: Callable[[Path, Members], Path]) -> None:
    path = pack(tmp_path / name, {"a.txt": bytes(range(256)) * 500})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DownloadError, match="is damaged, or not an archive"):
        unpack(path, tmp_path / "out")
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(DownloadError, match="is damaged, or not an archive"):
        unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_archive_larger_than_the_disk(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": b"abc"})
    raw = bytearray(path.read_bytes())
    central = raw.rindex(b"PK\x01\x02")
    raw[central + 24 : central + 28] = b"\xfe\xff\xff\xff"  # claims 4 GB …
    many = raw[:central] + raw[central : raw.rindex(b"PK\x05\x06")] * 20_000  # … 20,000 times
    end = bytearray(raw[raw.rindex(b"PK\x05\x06") :])
    end[8:12] = (20_000).to_bytes(2, "little") * 2
    end[12:16] = (len(many) - central).to_bytes(4, "little")
    path.write_bytes(many + end)
    with pytest.raises(OutputError, match="free some space"):
        unpack(path, tmp_path / "out")


def test_a_zip_that_lies_about_its_sizes_writes_no_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a.txt", bytes(10_000_000))
    raw = bytearray(path.read_bytes())
    assert len(raw) < 20_000
    central = raw.rindex(b"PK\x01\x02")
    for size in (22, central + 24):  # in the member's own header and in the directory
        raw[size : size + 4] = (10).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(DownloadError, match="is damaged"):
        unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tar_whose_holes_are_larger_than_the_disk(tmp_path: Path) -> None:
    """A sparse member takes 512 bytes in the archive, whatever size it claims."""
    info = tarfile.TarInfo("a.bin")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a.bin",
        "GNU.sparse.realsize": str(2**60),
    }
    sparse_map = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(sparse_map)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as bundle:
        bundle.addfile(info, io.BytesIO(sparse_map))
    with pytest.raises(OutputError, match="unpacks to 1,152,921,504,606,846,976 bytes.*free some space"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
