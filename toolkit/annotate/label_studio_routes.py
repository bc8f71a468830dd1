"""The web server of Label Studio's machine-learning backend, and its routes for other servers to include."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import threading
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from toolkit.annotate.label_studio import LabelStudioBackend
from toolkit.errors import DownloadError, InvalidDataError, ToolkitError
from toolkit.reading.json_text import parse_json
from toolkit.serve.connections import impatient

MOST_BODY = 64 << 20
"""Largest body of a request in bytes. Tasks have addresses of images, not images."""
SECONDS_FOR_BODY = 30
MOST_WAITING = 16
"""Number of requests that are answered or wait for it; further ones are told to come back."""

LOCAL_NAMES = ("localhost", "host.docker.internal")
"""Names of this machine in addresses; the second is that of the host inside of a container."""


def label_studio_router(backend: LabelStudioBackend) -> APIRouter:
    """The routes that Label Studio calls: ``/health``, ``/setup``, ``/predict`` and ``/webhook``.

    Args:
        backend: answers the requests.
    """
    router, places = APIRouter(tags=["Label Studio"]), threading.BoundedSemaphore(MOST_WAITING)

    async def answered(request: Request, answer: Any) -> JSONResponse:
        try:
            async with asyncio.timeout(SECONDS_FOR_BODY):
                payload = await _payload(request)
        except TimeoutError:
            return _refusal(408, f"the body did not arrive within {SECONDS_FOR_BODY} seconds")
        except InvalidDataError as error:
            return _refusal(400, str(error))
        if not places.acquire(blocking=False):
            return _refusal(503, "too many requests are waiting. Hint: try again", {"Retry-After": "5"})
        try:
            return JSONResponse(await run_in_threadpool(answer, payload))
        except ToolkitError as error:
            return _refusal(502 if isinstance(error, DownloadError) else 400, str(error))
        finally:
            places.release()

    @router.get("/")
    @router.get("/health")
    def health() -> dict[str, str]:
        """Whether the backend lives."""
        return {"status": "UP", "model_class": backend.version}

    @router.post("/setup")
    async def setup(request: Request) -> JSONResponse:
        """Connect a project: ``project``, ``schema`` (its labeling configuration)."""
        return await answered(request, backend.setup)

    @router.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        """Predictions for ``tasks``, by ``label_config``; or, with ``params.context``, what is marked."""
        return await answered(request, backend.predict)

    @router.post("/webhook")
    @router.post("/train")
    async def webhook(request: Request) -> JSONResponse:
        """Events, such as saved annotations. Nothing happens: ``toolkit train`` reads exports."""
        return await answered(request, lambda payload: {"status": "ignored"})

    return router


async def _payload(request: Request) -> Any:
    """The JSON in the body of a request.

    Raises:
        InvalidDataError: when it is too large, or not JSON.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidDataError(f"the body must be application/json, not {kind or 'of no type'}")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY:
            raise InvalidDataError(f"the body is larger than {MOST_BODY:,} bytes")
    return parse_json(bytes(data), "the body", "a request of Label Studio", InvalidDataError)


def _refusal(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": text}, status, headers)


def label_studio_app(backend: LabelStudioBackend, password: str = "") -> FastAPI:
    """A server with these routes alone.

    Args:
        backend: answers the requests.
        password: with one, requests need it (Basic authentication with any user name, as Label Studio sends
            it); without, only requests to names of this machine are answered.
    """
    app = FastAPI(title="toolkit for Label Studio", docs_url=None, redoc_url=None)
    app.include_router(label_studio_router(backend))
    app.add_middleware(_Guard, password=password)
    return app


class _Guard:
    """Lets requests through that have the password, or, without one, that are to this machine by name: a page
    on the web whose name leads here cannot ask.
    """

    def __init__(self, app: ASGIApp, password: str) -> None:
        self._app, self._password = app, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope))) is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if not self._password:
            if is_local(_host_name(headers.get("host", ""))):
                return None
            return _refusal(403, "only requests to this machine, such as http://localhost:9090, are answered")
        given = _password_in(headers.get("authorization", ""))
        if hmac.compare_digest(given.encode(), self._password.encode()):
            return None
        return _refusal(401, "the password is missing or wrong", {"WWW-Authenticate": "Basic"})


def _host_name(host: str) -> str:
    return host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]


def is_local(name: str) -> bool:
    """Whether the name of a host stands for this machine alone."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() in LOCAL_NAMES


def _password_in(authorization: str) -> str:
    scheme, _, code = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(code.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def run_server(app: FastAPI, host: str, port: int) -> None:
    """Serve until the process is interrupted."""
    import uvicorn

    # log_config: uvicorn's own closes the handlers of the whole process
    uvicorn.run(
        app, host=host, port=port, log_config=None, log_level="warning", http=impatient(SECONDS_FOR_BODY)
    )
