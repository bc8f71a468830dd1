"""How errors become answers: a status, and a sentence that says what was wrong and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from toolkit.errors import DataError, InvalidDataError, OutputError, ToolkitError, UsageError

logger = logging.getLogger("toolkit")

MOST_FAULTS = 5
GONE = 499
"""The status of a request whose client has closed the connection; nobody sees it but the metrics."""


class RequestError(HTTPException):
    """A request that is not answered as it was meant.

    Args:
        status: of HTTP.
        message: what was found, what was expected, and a hint.
        headers: of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, dict(headers or {}))


def busy(message: str, seconds: int = 1) -> RequestError:
    """The answer 503, with the time after which it is worth trying again."""
    return RequestError(503, message, {"Retry-After": str(seconds)})


def status_of(error: ToolkitError) -> int:
    """The status for an error of the toolkit."""
    if isinstance(error, OutputError):
        return 507
    return 422 if isinstance(error, (DataError, InvalidDataError, UsageError)) else 500


def add_handlers(app: FastAPI) -> None:
    """Turn every error into ``{"detail": TEXT}``."""
    app.add_exception_handler(HTTPException, _of_request)
    app.add_exception_handler(RequestValidationError, _of_values)
    app.add_exception_handler(ToolkitError, _of_toolkit)
    app.add_exception_handler(ClientDisconnect, _of_gone)
    app.add_exception_handler(Exception, _of_fault)


def answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer for an error."""
    # an error may quote what cannot be encoded, such as the name of a file
    text = message.encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"detail": text}, status, dict(headers or {}))


async def _of_request(request: Request, error: Any) -> Response:
    return answer(error.status_code, str(error.detail), error.headers)


async def _of_values(request: Request, error: Any) -> Response:
    return answer(422, described(error.errors()))


async def _of_toolkit(request: Request, error: Any) -> Response:
    status = status_of(error)
    if status >= 500:
        logger.warning("%s %s: %s", request.method, request.url.path, error)
    return answer(status, str(error))


async def _of_gone(request: Request, error: Any) -> Response:
    return Response(status_code=GONE)


async def _of_fault(request: Request, error: Any) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(500, f"{type(error).__name__} in the server. Hint: its log has the details")


def described(faults: Any) -> str:
    """What is wrong with the values of a request, from pydantic's list."""
    texts = []
    for fault in list(faults)[:MOST_FAULTS]:
        where = ".".join(str(part) for part in fault["loc"] if part not in ("body", "query", "path"))
        texts.append(f"{where or 'the body'}: {fault['msg']}")
    return f"{'; '.join(texts)}. Hint: /docs lists what is expected"
