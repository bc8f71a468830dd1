"""A web server on this machine that serves bytes and misbehaves in every way that a download has to stand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = bytes(range(256)) * 400  # 102,400 bytes


@dataclass
class Behavior:
    """What the server does.

    Attributes:
        body: what it serves at any address that is not in ``files``.
        files: contents by path, such as ``"/set.zip"``.
        redirects: where paths lead to.
        ranges: whether it sends parts of files.
        etag: of the body; none is sent when empty.
        last_modified: likewise.
        minds_if_range: whether it sends the whole file to who has the beginning of another one.
        length: what it says of the length of a whole file: ``"right"``, ``"none"``, a number, or
            ``"chunked"``, which is to send it in pieces, each with its length.
        content_type: what it says of the kind of file.
        failures: status codes of the next answers.
        cut_after: bytes after which the next answers break off.
        requests: the Range header of each request so far.
        paths: the path of each request so far.
    """

    body: bytes = BODY
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    etag: str = ""
    last_modified: str = ""
    minds_if_range: bool = True
    length: str = "right"
    content_type: str = "application/octet-stream"
    failures: list[int] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    requests: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class FileServer(ThreadingHTTPServer):
    """Serves by its ``behavior``, which tests change while it runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behavior = Behavior()

    @property
    def root(self) -> str:
        """The address that paths are below."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """The address of a file."""
        return f"{self.root}/data.bin"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        does, wanted = self.server.behavior, self.headers.get("Range")
        does.requests.append(wanted)
        does.paths.append(self.path)
        if does.failures:
            self.send_error(does.failures.pop(0))
            return
        if self.path in does.redirects:
            self.send_response(302)
            self.send_header("Location", does.redirects[self.path])
            self.end_headers()
            return
        body = does.files.get(self.path, does.body)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and does.ranges else 0
        condition = self.headers.get("If-Range")
        if condition and does.minds_if_range and condition not in (does.etag, does.last_modified):
            start = 0
        if start >= len(body) > 0:
            self.send_error(416)
            return
        self._send(does, body, start)

    def _send(self, does: Behavior, body: bytes, start: int) -> None:
        rest = body[start:]
        self.send_response(206 if start else 200)
        headers = {
            "Content-Type": does.content_type,
            "ETag": does.etag,
            "Last-Modified": does.last_modified,
            "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}" if start else "",
        }
        if start or does.length == "right":
            headers["Content-Length"] = str(len(rest))
        elif does.length == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif does.length != "none":
            headers["Content-Length"] = does.length
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        cut = does.cut_after.pop(0) if does.cut_after else None
        if "Transfer-Encoding" in headers:
            for at in range(0, len(rest), 10_000):
                piece = rest[at : at + 10_000]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if cut is not None and at >= cut:
                    return
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(rest[:cut])

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server in a thread of its own, for as long as this lasts."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
