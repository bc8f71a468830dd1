"""Files from the web, against a server on this machine."""

from __future__ import annotations

import pytest
from support.file_server import BODY, FileServer

from toolkit.errors import DownloadError
from toolkit.runtime.remote import check_address, fetch_bytes, is_url


@pytest.mark.parametrize("path", ["/image.png", "/elsewhere"])
def test_what_stands_there_is_fetched(file_server: FileServer, path: str) -> None:
    file_server.behavior.redirects["/elsewhere"] = "/image.png"
    assert fetch_bytes(file_server.root + path) == BODY
    assert fetch_bytes(file_server.root + path, limit=len(BODY)) == BODY


def test_what_is_too_large_is_not_taken(file_server: FileServer) -> None:
    with pytest.raises(DownloadError, match=r"larger than the 102,399 bytes .* Hint: download the file"):
        fetch_bytes(file_server.url, limit=len(BODY) - 1)


def test_it_tries_again_where_that_may_help(file_server: FileServer) -> None:
    file_server.behavior.failures = [503, 503]
    assert fetch_bytes(file_server.url, backoff=0.01) == BODY
    file_server.behavior.failures = [503] * 9
    with pytest.raises(DownloadError, match="the server answered 503"):
        fetch_bytes(file_server.url, backoff=0.01)
    assert len(file_server.behavior.failures) == 6


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (
            "http://example.org/image.png",
            "http://example.org/image.png will not be downloaded: expected https://",
        ),
        ("file:///etc/hostname", "'file:///etc/hostname' is not allowed"),
    ],
)
def test_redirections_lead_nowhere_that_would_not_be_taken(
    file_server: FileServer, target: str, reason: str
) -> None:
    file_server.behavior.redirects["/data.bin"] = target
    with pytest.raises(DownloadError, match=reason):
        fetch_bytes(file_server.url, backoff=0.01)


def test_what_cannot_be_had_says_why(file_server: FileServer) -> None:
    file_server.behavior.failures = [404]
    with pytest.raises(DownloadError, match="the server answered 404"):
        fetch_bytes(file_server.url, backoff=0.01)
    assert len(file_server.behavior.paths) == 1, "asking again does not help"
    file_server.behavior.length = str(2 * len(BODY))
    with pytest.raises(DownloadError, match="the transfer was interrupted"):
        fetch_bytes(file_server.url, backoff=0.01)


def test_nobody_answers(no_proxy: None) -> None:
    with pytest.raises(DownloadError, match=r"no connection: .* Hint: check the address"):
        fetch_bytes("http://127.0.0.1:9/x.png", backoff=0.01)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.png",
        "ftp://example.org/a.png",
        "file:///etc/hostname",
        "https:///a.png",
        "https://[::1/a.png",
    ],
)
def test_only_addresses_are_taken_that_nobody_on_the_way_can_change(url: str) -> None:
    with pytest.raises(DownloadError, match="expected https://"):
        check_address(url)


@pytest.mark.parametrize("url", ["https://example.org/a.png", "http://localhost:8000/a", "http://[::1]/a"])
def test_addresses_that_are_taken(url: str) -> None:
    check_address(url)


def test_addresses_are_told_from_paths() -> None:
    assert is_url("HTTPS://example.org/a.png")
    assert not is_url("photos/https/a.png")
    assert not is_url("C:\\photos")
