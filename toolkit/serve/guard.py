"""What every request has to pass before anything else sees it: where it comes from, its token, and how large
and slow its body is. Also adds the headers that keep browsers from loading anything from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.serve.errors import GONE, RequestError, answer, busy
from toolkit.serve.metrics import Metrics
from toolkit.serve.options import Limits, ServeOptions, is_loopback

COOKIE = "toolkit_token"
OPEN = ("/health",)
"""Paths that need no token, for those who watch whether the server lives; it says nothing else."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

CLOSE = {"Connection": "close"}
"""The rest of a body is not waited for."""


def size_text(limits: Limits) -> str:
    """The message for a body that is too large."""
    return (
        f"the body is larger than {limits.body_bytes:,} bytes. Hint: send a smaller image, or start the"
        " server with a larger --max-body"
    )


class Guard:
    """Lets requests through to an application, or answers them.

    Args:
        app: the application.
        options: the host, the token and the limits.
        metrics: in which requests are counted.

    Attributes:
        held: bytes of all bodies that are in memory.
        limits: those of the options.
    """

    def __init__(self, app: ASGIApp, options: ServeOptions, metrics: Metrics) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        self._token = options.token
        self._is_local = is_loopback(options.host)
        self.held, self.limits = 0, options.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see the specification of ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started, status = time.perf_counter(), GONE

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                headers += _HEADERS
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, sending)
        else:
            body = _Body(receive, self)
            try:
                await self._app(scope, body.receive, sending)
            finally:
                self.held -= body.size
        # the route's pattern, so that names of images do not become labels of metrics
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not let through."""
        headers = Headers(scope=scope)
        if self._is_local and not _is_own_name(headers.get("host", "")):
            return answer(
                421,
                f"this server does not answer for the host {headers.get('host', '')!r}. Hint: open"
                f" http://{self._options.host}:{self._options.port}/",
            )
        if not _is_same_origin(headers):
            return answer(403, "the request comes from another site. Hint: open the page of this server")
        if self._token and scope["path"] not in OPEN:
            return self._without_token(scope, headers)
        return self._too_large(headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request without the token, or with it in the address of a page."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        in_query = next((value for name, value in query if name == "token"), "")
        bearer = headers.get("authorization", "")
        given = bearer[7:] if bearer[:7].lower() == "bearer " else ""
        cookie = _cookie(headers, _cookie_name(scope))
        if in_query and self._is_token(in_query) and scope["method"] == "GET" and scope["path"] == "/":
            # out of the address, the history and the log
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            response = RedirectResponse("/" + (f"?{rest}" if rest else ""), 303)
            response.set_cookie(_cookie_name(scope), self._token, httponly=True, samesite="strict", path="/")
            return response
        if not any(self._is_token(each) for each in (given, in_query, cookie) if each):
            return answer(
                401,
                "the token is missing or wrong. Hint: open the address that `toolkit serve` printed, or send"
                " the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        return self._too_large(headers)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def _too_large(self, headers: Headers) -> Response | None:
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return answer(400, f"Content-Length is {length!r}, not a number. Hint: leave it to your client")
        if int(length) > self.limits.body_bytes:
            return answer(413, size_text(self.limits), CLOSE)
        return None


class _Body:
    """The body of a request, as long as it is neither too large nor too slow.

    Attributes:
        size: the bytes that have arrived.
    """

    def __init__(self, receive: Receive, guard: Guard) -> None:
        self._receive, self._guard, self.size = receive, guard, 0
        self._end = time.monotonic() + guard.limits.body_seconds
        self._is_complete = False

    async def receive(self) -> Message:
        """The next part, or that the client has gone.

        Raises:
            RequestError: 408, 413 and 503.
        """
        if self._is_complete:
            return await self._receive()
        limits = self._guard.limits
        try:
            async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                408,
                f"the body did not arrive within {limits.body_seconds:g} seconds. Hint: try again on a faster"
                " connection",
                CLOSE,
            ) from None
        if message["type"] == "http.request":
            part = len(message.get("body", b""))
            self.size += part
            self._guard.held += part
            self._is_complete = not message.get("more_body", False)
            if self.size > limits.body_bytes:
                raise RequestError(413, size_text(limits), CLOSE)
            if self._guard.held > limits.bodies_bytes:
                raise busy("the bodies of other requests take up the memory. Hint: try again later")
        return message


def _is_own_name(host: str) -> bool:
    """Whether a Host header names this machine. A name of another domain that leads here is how a web site
    would reach a server on its visitor's machine (DNS rebinding).
    """
    name = urlsplit(f"//{host}").hostname if host and "/" not in host and "@" not in host else None
    return name is not None and (name == "localhost" or is_loopback(name))


def _is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that a request comes from a page of this server, or from no page at all."""
    origin = headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
        except ValueError:
            return False
    site = headers.get("sec-fetch-site", "none")
    is_visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return site in ("same-origin", "none") or is_visit


def _cookie_name(scope: Scope) -> str:
    """Browsers send cookies to all ports of a host, so each server has its own."""
    server = scope.get("server") or ("", 0)
    return f"{COOKIE}_{server[1]}"


def _cookie(headers: Headers, name: str) -> str:
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""
