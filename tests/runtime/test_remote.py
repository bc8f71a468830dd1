"""Files from the web, against a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from toolkit.errors import DownloadError
from toolkit.runtime.remote import check_address, fetch_bytes, is_url

CONTENT = bytes(range(256)) * 40


class _Handler(BaseHTTPRequestHandler):
    failures = 0  # how often /shaky still fails

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/image.png")
            self.end_headers()
        elif self.path == "/insecure":
            self.send_response(302)
            self.send_header("Location", "http://example.org/image.png")
            self.end_headers()
        elif self.path == "/local-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        elif self.path == "/shaky" and _Handler.failures > 0:
            _Handler.failures -= 1
            self.send_error(503)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT) * (2 if self.path == "/cut" else 1)))
            self.end_headers()
            self.wfile.write(CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["/image.png", "/elsewhere"])
def test_what_stands_there_is_fetched(address: str, path: str) -> None:
    assert fetch_bytes(address + path) == CONTENT
    assert fetch_bytes(address + path, limit=len(CONTENT)) == CONTENT


def test_what_is_too_large_is_not_taken(address: str) -> None:
    with pytest.raises(DownloadError, match=r"larger than the 10,239 bytes .* Hint: download the file"):
        fetch_bytes(address + "/image.png", limit=len(CONTENT) - 1)


def test_it_tries_again_where_that_may_help(address: str) -> None:
    _Handler.failures = 2
    assert fetch_bytes(address + "/shaky", backoff=0.01) == CONTENT
    _Handler.failures = 9
    with pytest.raises(DownloadError, match="the server answered 503"):
        fetch_bytes(address + "/shaky", backoff=0.01)
    assert _Handler.failures == 6


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "the server answered 404"),
        ("/cut", "the transfer broke off"),
        ("/insecure", "http://example.org/image.png is not fetched: expected https://"),
        ("/local-file", "'file:///etc/hostname' is not allowed"),
    ],
)
def test_what_cannot_be_had_says_why(address: str, path: str, reason: str) -> None:
    with pytest.raises(DownloadError, match=reason):
        fetch_bytes(address + path, backoff=0.01)


def test_nobody_answers(address: str) -> None:
    with pytest.raises(DownloadError, match=r"no connection: .* Hint: check the address"):
        fetch_bytes("http://127.0.0.1:9/x.png", backoff=0.01)


@pytest.mark.parametrize(
    "url", ["http://example.org/a.png", "ftp://example.org/a.png", "file:///etc/hostname", "https:///a.png"]
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
