"""A server that speaks the protocol of S3, of which a third of the answers are faults."""

from __future__ import annotations

import contextlib
import http.client
import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest


class Flaky(BaseHTTPRequestHandler):
    """Passes requests on to a server, or answers that it is too busy, or fails."""

    port = 0
    chance = random.Random(0)
    faults: ClassVar[list[int]] = []

    def log_message(self, *args: object) -> None:
        pass

    def answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.chance.random() < 0.3:
            status = self.chance.choice([500, 503])
            self.faults.append(status)
            code = "SlowDown" if status == 503 else "InternalError"
            body = f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode()
            headers = [("Content-Type", "application/xml")]
        else:
            server = http.client.HTTPConnection("127.0.0.1", self.port)
            server.request(self.command, self.path, data, dict(self.headers))
            response = server.getresponse()
            status, headers, body = response.status, response.getheaders(), response.read()
            server.close()
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815 - names of http.server


@contextlib.contextmanager
def faulty_s3(monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[Any]:
    """Begin the server and make a bucket there; the environment points s3fs to it. Yields a client of boto3
    to which no fault happens. Skips the test where a library is missing.
    """
    moto_server = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    moto = moto_server.ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    _, Flaky.port = moto.get_host_and_port()
    Flaky.faults.clear()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    Thread(target=proxy.serve_forever, daemon=True).start()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{Flaky.port}")
    client.create_bucket(Bucket=bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield client
    finally:
        proxy.shutdown()
        proxy.server_close()
        moto.stop()
        s3fs.S3FileSystem.clear_instance_cache()
