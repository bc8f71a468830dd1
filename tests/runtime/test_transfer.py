"""When the rest of a file is added to its beginning, and when it is not."""

from __future__ import annotations

import hashlib
import shutil
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from support.file_server import BODY, FileServer

from toolkit.errors import OutputError
from toolkit.registry.manifests import Download
from toolkit.runtime import transfer as module
from toolkit.runtime.transfer import BrokenOffError, Known, RefusedError, known_file, transfer

OTHER = bytes(reversed(BODY))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "data.bin.part"


def again(server: FileServer, part: Path, **published: Any) -> None:
    transfer(Download(server.url, **published), part, timeout=5)


def break_off(server: FileServer, part: Path, after: int = 30_000, **published: Any) -> None:
    server.behavior.cut_after = [after]
    with pytest.raises(BrokenOffError, match=f"closed after {after:,} of 102,400 bytes"):
        again(server, part, **published)
    assert part.stat().st_size == after


@pytest.mark.parametrize(
    "headers", [{"etag": '"1"'}, {"last_modified": "Wed, 21 Oct 2015 07:28:00 GMT"}], ids=str
)
def test_goes_on_with_the_same_file(file_server: FileServer, part: Path, headers: dict[str, str]) -> None:
    for name, value in headers.items():
        setattr(file_server.behavior, name, value)
    break_off(file_server, part)
    again(file_server, part)
    assert part.read_bytes() == BODY
    assert file_server.behavior.requests == [None, "bytes=30000-"]


@pytest.mark.parametrize("minds", [True, False])
def test_the_rest_of_another_file_is_not_added(file_server: FileServer, part: Path, minds: bool) -> None:
    """Servers that do not know If-Range send the rest of whatever they have."""
    file_server.behavior.etag = '"1"'
    file_server.behavior.minds_if_range = minds
    break_off(file_server, part)
    file_server.behavior.etag, file_server.behavior.body = '"2"', OTHER
    if not minds:
        with pytest.raises(BrokenOffError, match="the server has changed since the download began"):
            again(file_server, part)
        assert list(part.parent.iterdir()) == []
    again(file_server, part)
    assert part.read_bytes() == OTHER


def test_the_rest_of_a_file_of_another_size_is_not_added(file_server: FileServer, part: Path) -> None:
    file_server.behavior.last_modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    file_server.behavior.minds_if_range = False
    break_off(file_server, part)
    file_server.behavior.body = OTHER + b"more"
    with pytest.raises(BrokenOffError, match="has changed since the download began"):
        again(file_server, part)
    again(file_server, part)
    assert part.read_bytes() == OTHER + b"more"


@pytest.mark.parametrize("published", [{}, {"size": len(BODY)}, {"checksum": "md5:000000"}], ids=str)
def test_starts_over_where_nothing_would_tell(
    file_server: FileServer, part: Path, published: dict[str, Any]
) -> None:
    """A server that names no version of its file, and no whole checksum."""
    break_off(file_server, part, **published)
    again(file_server, part, **published)
    assert part.read_bytes() == BODY
    assert file_server.behavior.requests == [None, None]


def test_the_beginning_came_from_another_address(file_server: FileServer, part: Path) -> None:
    file_server.behavior.etag = '"1"'
    break_off(file_server, part)
    transfer(Download(f"{file_server.root}/another.bin"), part, timeout=5)
    assert part.read_bytes() == BODY
    assert file_server.behavior.requests == [None, None]


def test_a_whole_checksum_tells(file_server: FileServer, part: Path) -> None:
    part.write_bytes(BODY[:70_000])
    again(file_server, part, checksum=f"md5:{hashlib.md5(BODY).hexdigest()}")
    assert part.read_bytes() == BODY
    assert file_server.behavior.requests == ["bytes=70000-"]


def test_starts_over_where_the_server_cannot_resume(file_server: FileServer, part: Path) -> None:
    file_server.behavior.ranges = False
    part.write_bytes(BODY[:70_000])
    again(file_server, part, sha256=hashlib.sha256(BODY).hexdigest())
    assert part.read_bytes() == BODY
    assert file_server.behavior.requests == ["bytes=70000-"]


def test_a_weak_etag_is_no_proof(file_server: FileServer, part: Path) -> None:
    file_server.behavior.etag = 'W/"1"'
    break_off(file_server, part)
    again(file_server, part)
    assert file_server.behavior.requests == [None, None]


def test_a_file_that_is_whole_is_not_asked_for(file_server: FileServer, part: Path) -> None:
    """The process was killed before it could rename it."""
    file_server.behavior.etag = '"1"'
    again(file_server, part)
    again(file_server, part)
    assert file_server.behavior.requests == [None]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"validator": "x", "size": "many"}'])
def test_what_is_known_may_be_damaged(file_server: FileServer, part: Path, content: str) -> None:
    part.write_bytes(b"beginning")
    known_file(part).write_text(content)
    again(file_server, part)
    assert part.read_bytes() == BODY


def test_a_length_that_is_too_long(file_server: FileServer, part: Path) -> None:
    file_server.behavior.length = "200000"
    with pytest.raises(BrokenOffError, match="closed after 102,400 of 200,000 bytes"):
        again(file_server, part)


def test_no_length_at_all(file_server: FileServer, part: Path) -> None:
    file_server.behavior.length = "none"
    again(file_server, part)
    assert part.read_bytes() == BODY


def test_in_pieces(file_server: FileServer, part: Path) -> None:
    """As archives are sent that are packed on demand; the end is known by its sign alone."""
    file_server.behavior.length, file_server.behavior.etag = "chunked", '"1"'
    file_server.behavior.cut_after = [30_000]
    with pytest.raises(BrokenOffError, match="was interrupted"):
        again(file_server, part)
    assert part.stat().st_size == 40_000
    again(file_server, part)
    assert part.read_bytes() == BODY
    assert file_server.behavior.requests == [None, "bytes=40000-"]


def test_a_length_that_is_no_number(file_server: FileServer, part: Path) -> None:
    file_server.behavior.length = "many"
    again(file_server, part)
    assert part.read_bytes() == BODY


def test_less_on_the_server_than_is_here(file_server: FileServer, part: Path) -> None:
    part.write_bytes(BODY + b"more")
    with pytest.raises(BrokenOffError, match="416"):
        again(file_server, part, sha256="0" * 64)
    assert list(part.parent.iterdir()) == []


def test_a_disk_without_room(file_server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(part.parent)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="needs 102,400 bytes more, but only 1,000 are free.*Hint: free"):
        again(file_server, part)


def test_https_is_not_left() -> None:
    module._stay_secure("https://example.org/a.zip", "https://example.com/b.zip")
    module._stay_secure("http://example.org/a.zip", "http://example.com/b.zip")
    with pytest.raises(RefusedError, match="redirects from HTTPS to http://example"):
        module._stay_secure("https://example.org/a.zip", "http://example.com/b.zip")


def test_what_is_known_of_a_file() -> None:
    headers, url = Message(), "https://example.org/a"
    assert Known.of(url, headers) == Known(url)
    headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
    headers["Content-Length"] = "7"
    assert Known.of(url, headers) == Known(url, "Wed, 21 Oct 2015 07:28:00 GMT", 7)
    headers["ETag"] = '"abc"'
    assert Known.of(url, headers) == Known(url, '"abc"', 7)
