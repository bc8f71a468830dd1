"""Connections are closed if no request begins or its header is too large, and answers come in one piece;
tests/serve/test_running_server.py does so on a real port.
"""

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
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def connection() -> tuple[Any, Mock]:
    """A connection, and the transport that it was given."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    protocol = impatient(0.1)(config=config, server_state=ServerState(), app_state={})
    transport = Mock()
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    protocol.connection_made(transport)
    return protocol, transport


def sent(transport: Mock) -> list[bytes]:
    """What was sent, in pieces."""
    return [call.args[0] for call in transport.write.call_args_list]


async def closed_after(*parts: bytes) -> list[bool]:
    """Whether a connection is closed 0.15 seconds after each part; an empty one is a pause."""
    protocol, transport = connection()
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


async def answers_to(*parts: bytes) -> list[bytes]:
    """The pieces of the answers to parts of requests that come one after the other."""
    protocol, transport = connection()
    transport.close.side_effect = lambda: setattr(transport.is_closing, "return_value", True)
    for part in parts:
        if not transport.is_closing():
            protocol.data_received(part)
    await asyncio.sleep(0.25)
    protocol.connection_lost(None)
    return sent(transport)


def test_an_answer_comes_in_one_piece() -> None:
    (piece,) = asyncio.run(answers_to(REQUEST))
    assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
    assert piece.endswith(b"\r\n\r\nhello")


def test_a_header_that_is_too_large_is_refused() -> None:
    """In one part or in many."""
    lines = [b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(70)]
    for parts in (lines, [b"".join(lines)]):
        (piece,) = asyncio.run(answers_to(REQUEST[:-2], *parts))
        assert piece.startswith(b"HTTP/1.1 431 ")
        assert b"larger than 65,536 bytes" in piece


def test_a_body_may_be_larger_than_a_header() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 210000\r\n\r\n"
    (piece,) = asyncio.run(answers_to(head, *[b"a" * 30_000] * 7))
    assert piece.startswith(b"HTTP/1.1 200 ")


def test_two_hosts_are_refused() -> None:
    """One of them might be checked, and the other one used."""
    (piece,) = asyncio.run(answers_to(REQUEST[:-2] + b"Host: example.org\r\n\r\n"))
    assert piece.startswith(b"HTTP/1.1 400 ")
