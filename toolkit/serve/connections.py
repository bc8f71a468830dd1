"""Connections that do not wait for ever, and answer at once. uvicorn limits how long one may rest between
requests, but not how long the header of a request may take, nor its size; and it sends an answer in two
parts, each of which wakes the client.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER = 1 << 16
"""The largest header of a request, in bytes."""

_REASON = f'{{"detail":"the header is larger than {MOST_HEADER:,} bytes. Hint: send data in the body"}}'
TOO_LARGE = (
    "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    f"content-length: {len(_REASON)}\r\n\r\n{_REASON}"
).encode()


def impatient(seconds: float) -> type[HttpToolsProtocol]:
    """The protocol of connections that are closed if a request has not begun after this time, or if its
    header is too large.
    """

    class Impatient(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _header = 0

        def connection_made(self, transport: Any) -> None:
            # it has all that the protocol uses of a transport
            super().connection_made(cast(asyncio.Transport, Joined(transport, self.loop)))
            self._expect()

        def data_received(self, data: bytes) -> None:
            # parts of a body set it to 0 again
            self._header += len(data)
            super().data_received(data)
            if self._header > MOST_HEADER and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()
            is_idle = self.cycle is None or self.cycle.response_complete
            if is_idle:
                self._expect()
            else:
                self._forget()

        def _unsupported_upgrade_warning(self) -> None:
            """Nothing else than HTTP is offered, so the request is answered as it is."""

        def on_headers_complete(self) -> None:
            self._header = 0
            if sum(name == b"host" for name, _ in self.headers) > 1:
                # which one counts is a matter of opinion, so that a check of it could be evaded
                raise ValueError("more than one Host header")
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._header = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._header = 0
            super().on_message_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _expect(self) -> None:
            if self._timer is None:
                self._timer = self.loop.call_later(seconds, self._give_up)

        def _forget(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
                self.transport.close()

    return Impatient


class Joined:
    """A transport that sends what is written within one turn of the event loop at once.

    Args:
        transport: does the work, and everything else.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, in order, soon."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)

    def flush(self) -> None:
        """Send what was written."""
        data = b"".join(self._parts)
        self._parts.clear()
        if data:
            self._transport.write(data)

    def close(self) -> None:
        """Close, once everything was sent."""
        self.flush()
        self._transport.close()
