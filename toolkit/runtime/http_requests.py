"""What all requests over HTTP share: headers, redirections, and words for what went wrong.

Proxies are taken from ``http_proxy``, ``https_proxy`` and ``no_proxy``, as usual.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO

CHUNK = 1 << 18
"""Bytes that are read at a time."""
_PERMANENT = (400, 401, 403, 404, 405, 410)
_HEADERS = {"User-Agent": "toolkit", "Accept-Encoding": "identity"}


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows the redirections that a check lets pass.

    Args:
        check: called with the address that redirects, and the one that it leads to; raises for those that
            are not to be followed.
    """

    def __init__(self, check: Callable[[str, str], None]) -> None:
        self._check = check

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows, once the check has let it pass."""
        self._check(req.full_url, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def request(url: str, **headers: str) -> urllib.request.Request:
    """A request for the bytes as they are, with further headers."""
    return urllib.request.Request(url, headers=_HEADERS | headers)


def connect(
    wanted: urllib.request.Request, timeout: float, check: Callable[[str, str], None]
) -> http.client.HTTPResponse:
    """The answer to a request.

    Args:
        wanted: from ``request``.
        timeout: seconds without a byte.
        check: as for ``CheckedRedirects``.

    Raises:
        OSError, http.client.HTTPException: when there is none, or one with an error (``HTTPError``, which
            the caller must close); ``reason_of`` says it in words.
    """
    # urlopen would remember the first call's proxies
    opener = urllib.request.build_opener(CheckedRedirects(check))
    answer: http.client.HTTPResponse = opener.open(wanted, timeout=timeout)
    return answer


def is_permanent(error: Exception) -> bool:
    """Whether asking again does not help."""
    return isinstance(error, urllib.error.HTTPError) and error.code in _PERMANENT


def reason_of(error: Exception, otherwise: str) -> str:
    """What went wrong, in words.

    Args:
        error: that ``connect``, or reading from what it gave, has raised.
        otherwise: what to call a failure that is neither an answer with an error nor a missing connection.
    """
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return f"{otherwise}: {str(error) or type(error).__name__}"
