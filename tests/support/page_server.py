"""Serves the files of the page of ``toolkit serve`` as they are, for tests of its modules alone."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

PAGE = Path(__file__).resolve().parents[2] / "toolkit" / "serve" / "page"


class _Handler(SimpleHTTPRequestHandler):
    # whatever the machine says about such files, browsers run only this as modules
    extensions_map: ClassVar = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

    def do_GET(self) -> None:
        if self.path != "/empty.html":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=icon.svg><title>empty</title>")

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@contextmanager
def page_server() -> Iterator[str]:
    """The address of the page's files; ``/empty.html`` is a page without any."""
    handler = functools.partial(_Handler, directory=str(PAGE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
