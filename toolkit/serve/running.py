"""Runs the server until it is told to stop."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import uvicorn

from toolkit.errors import UsageError
from toolkit.serve.app import build_services, create_app
from toolkit.serve.connections import impatient
from toolkit.serve.options import ServeOptions, is_loopback
from toolkit.serve.services import Services

CLOSING_SECONDS = 10
"""After this time, requests that are still being answered are dropped."""


class RunningServer:
    """A server that listens, with its models loaded.

    Args:
        options: what to serve. Port 0 stands for any that is free.

    Attributes:
        options: the same with the port, and with a token if one is needed.
        services: what requests reach.

    Raises:
        ToolkitError: when a model or a folder cannot be used, or the port is taken.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.socket = _listening(options.host, options.port)
        try:
            self.options = replace(options, port=self.socket.getsockname()[1])
            self.services: Services = build_services(self.options)
            self._server = uvicorn.Server(self._config())
        except BaseException:
            self.socket.close()
            raise

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            create_app(self.services),
            http=impatient(self.options.limits.body_seconds),
            log_config=None,  # uvicorn's own closes the handlers of the whole process
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=self.options.limits.connections,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=CLOSING_SECONDS,
            proxy_headers=False,
        )

    @property
    def address(self) -> str:
        """Where to open the page, with the token."""
        host = self.options.host
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
        host = f"[{host}]" if ":" in host else host
        query = f"?token={self.options.token}" if self.options.token else ""
        return f"http://{host}:{self.options.port}/{query}"

    def run(self) -> None:
        """Answer requests until ``stop``, SIGINT or SIGTERM; keep other processes from writing to the labels
        meanwhile.

        Raises:
            UsageError: when another process writes to the folder of labels.
        """
        labels = self.services.labels
        with self.socket, labels.held() if labels is not None else contextlib.nullcontext(), _ending():
            self._server.run([self.socket])

    def stop(self) -> None:
        """End ``run``, once requests are answered. May be called in any thread."""
        self._server.should_exit = True


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """SIGTERM ends the program as Ctrl-C does, and neither is an error: uvicorn raises the signals that it
    has handled again.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def new_token(host: str) -> str:
    """A token for a server that other machines can reach; empty for others."""
    return "" if is_loopback(host) else secrets.token_urlsafe(24)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=512)
        # Connections inherit it. asyncio does not set it on sockets like this one, and without it the body of
        # an answer waits for the acknowledgement of its header: 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise UsageError(
            f"the server cannot listen on {host}:{port}: {error}. Hint: choose another --port, or 0 for any"
            " that is free"
        ) from error
