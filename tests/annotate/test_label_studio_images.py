"""Images come from Label Studio, from allowed hosts and from one folder, and from nowhere else."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit.annotate.label_studio_images import ImageSource
from toolkit.errors import DataError, DownloadError, ImageError, ToolkitError

PNG = cv2.imencode(".png", np.full((6, 8, 3), 50, np.uint8))[1].tobytes()


class LabelStudio(ThreadingHTTPServer):
    """Serves uploads to who has the token, and remembers what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wanted = "Token secret"
        self.elsewhere = ""
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: LabelStudio

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/data/away"):
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere + "/data/upload/1/a.png")
            self.end_headers()
        elif self.server.wanted and self.headers.get("Authorization") != self.server.wanted:
            self.send_error(401)
        elif self.path.endswith("large.png"):
            self._send(bytes(5000))
        elif "missing" in self.path:
            self.send_error(404)
        else:
            self._send(PNG if "text" not in self.path else b"not an image")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body.get("refresh")))
        self._send(b'{"access": "short"}')

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def servers(no_proxy: None) -> Iterator[tuple[LabelStudio, LabelStudio]]:
    both = (LabelStudio(), LabelStudio())
    for each in both:
        threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True).start()
    both[0].elsewhere = both[1].address
    yield both
    for each in both:
        each.shutdown()
        each.server_close()


def test_uploads_with_the_token(servers: tuple[LabelStudio, LabelStudio]) -> None:
    server, _ = servers
    source = ImageSource(server.address + "/", "secret")
    for name in (
        "/data/upload/1/a%20b.png",
        "/data/local-files/?d=x/a.png",
        f"{server.address}/data/upload/2/c.png",
    ):
        assert source.read(name).size == (6, 8)
    assert server.asked[1] == ("/data/local-files/?d=x/a.png", "Token secret")
    with pytest.raises(DownloadError, match="answered 401.*LABEL_STUDIO_API_KEY"):
        ImageSource(server.address).read("/data/upload/1/a.png")
    with pytest.raises(DownloadError, match="answered 404"):
        source.read("/data/upload/1/missing.png")
    with pytest.raises(DownloadError, match="larger than the 1,000 bytes"):
        ImageSource(server.address, "secret", limit=1000).read("/data/upload/1/large.png")
    with pytest.raises(ImageError):
        source.read("/data/upload/1/text.png")
    assert "secret" not in repr(source)


def test_personal_access_tokens_are_exchanged(servers: tuple[LabelStudio, LabelStudio]) -> None:
    server, _ = servers
    server.wanted = "Bearer short"
    token = ".".join(
        base64.urlsafe_b64encode(part).decode().strip("=") for part in (b"head", b"body", b"sign")
    )
    ImageSource(server.address, token).read("/data/upload/1/a.png")
    assert server.asked == [("/api/token/refresh", token), ("/data/upload/1/a.png", "Bearer short")]


def test_the_token_goes_nowhere_else(servers: tuple[LabelStudio, LabelStudio]) -> None:
    server, other = servers
    other.wanted = ""
    allowed = ImageSource(server.address, "secret", hosts=[other.address.removeprefix("http://")])
    allowed.read(f"{other.address}/x/a.png")
    allowed.read("/data/away/a.png")
    assert [token for _, token in other.asked] == [None, None]
    strict = ImageSource(server.address, "secret")
    for name in (f"{other.address}/x/a.png", "/data/away/a.png"):
        with pytest.raises(DownloadError, match="--allow-host 127.0.0.1:"):
            strict.read(name)
    assert len(other.asked) == 2


@pytest.mark.parametrize(
    "name",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:8080@evil.example.org/a.png",
        "https://localhost:8080/a.png",
        "http://localhost/a.png",
        "//evil.example.org/a.png",
        "s3://bucket/a.png",
        "ftp://localhost:8080/a.png",
        "data:image/png;base64,AAAA",
        "http://[::1/a.png",
        "http:///a.png",
    ],
)
def test_other_addresses_are_not_fetched(name: str, tmp_path: Path) -> None:
    """No connection is made: the names of hosts would not even resolve."""
    for source in (ImageSource(), ImageSource(files=tmp_path)):
        with pytest.raises(ToolkitError, match="Hint"):
            source.read(name)


def test_files_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a b.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    source = ImageSource("http://127.0.0.1:9", files=folder)
    for name in (
        "/data/local-files/?d=deep/a%20b.png",
        "deep/a b.png",
        f"{folder}/deep/a b.png",
        f"file://{folder}/deep/a%20b.png",
    ):
        assert source.read(name).size == (6, 8)
    for name in (
        "/data/local-files/?d=../secret.png",
        "/data/local-files/?d=/etc/passwd",
        "/data/local-files/?d=",
        "/data/local-files/?d=link.png",
        "/data/local-files/?d=deep",
        "/data/local-files/?d=missing.png",
        "../secret.png",
        f"{tmp_path}/secret.png",
        f"file://{tmp_path}/secret.png",
        "/etc/passwd",
        "a\0b",
    ):
        with pytest.raises(DataError, match="Hint: check --files"):
            source.read(name)
    with pytest.raises(DataError, match="no folder of files is given.*--files DIR"):
        ImageSource().read(f"{folder}/deep/a b.png")
