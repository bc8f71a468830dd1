"""Connections are closed if no request begins; tests/serve/test_running_server.py does so on a real port."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import uvicorn
from uvicorn.server import ServerState

from toolkit.serve.connections import impatient

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def closed_after(*parts: bytes) -> list[bool]:
    """Whether a connection is closed 0.15 seconds after each part; an empty one is a pause."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    protocol = impatient(0.1)(config=config, server_state=ServerState(), app_state={})
    transport = Mock()
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    protocol.connection_made(transport)
    found = []
    for part in parts:
        if part:
            protocol.data_received(part)
        await asyncio.sleep(0.15)
        found.append(transport.close.called)
    protocol.connection_lost(None)
    return found


def test_who_says_nothing_or_does_not_finish_a_header_is_left() -> None:
    assert asyncio.run(closed_after(b"")) == [True]
    assert asyncio.run(closed_after(REQUEST[:20])) == [True]


def test_a_request_that_is_being_answered_is_not() -> None:
    """It takes longer than its header may."""
    assert asyncio.run(closed_after(REQUEST, b"")) == [False, False]


def test_half_a_header_after_a_request_is_left() -> None:
    assert asyncio.run(closed_after(REQUEST, b"", REQUEST[:20], b"X"))[2:] == [True, True]
