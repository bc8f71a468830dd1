"""Shared parts of all HTTP requests: headers, redirects, and descriptions of errors.

Proxies are taken from ``http_proxy``, ``https_proxy`` and ``no_proxy``, as usual.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO

CHUNK = 1 << 18
"""Number of bytes read at a time."""
_PERMANENT = (400, 401, 403, 404, 405, 410)
_HEADERS = {"User-Agent": "toolkit", "Accept-Encoding": "identity"}


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows the redirects that a check accepts.

    Args:
        check: called with the address that redirects and the address that it leads to; raises an error for
            redirects that must not be followed.
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
        """The next request, once the check has accepted it."""
        self._check(req.full_url, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def request(url: str, **headers: str) -> urllib.request.Request:
    """A request for the unmodified bytes, with additional headers."""
    return urllib.request.Request(url, headers=_HEADERS | headers)


def connect(
    wanted: urllib.request.Request, timeout: float, check: Callable[[str, str], None]
) -> http.client.HTTPResponse:
    """The response to a request.

    Args:
        wanted: from ``request``.
        timeout: seconds without a byte before giving up.
        check: as for ``CheckedRedirects``.

    Raises:
        OSError, http.client.HTTPException: when there is no response, or one with an error (``HTTPError``,
            which the caller must close); ``reason_of`` describes it.
    """
    # urlopen would remember the proxies of the first call
    opener = urllib.request.build_opener(CheckedRedirects(check))
    answer: http.client.HTTPResponse = opener.open(wanted, timeout=timeout)
    return answer


def is_permanent(error: Exception) -> bool:
    """Whether trying again cannot help."""
    return isinstance(error, urllib.error.HTTPError) and error.code in _PERMANENT


def reason_of(error: Exception, otherwise: str) -> str:
    """A description of what went wrong.

    Args:
        error: the error that ``connect``, or reading from its result, raised.
        otherwise: what to call a failure that is neither an error response nor a missing connection.
    """
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return f"{otherwise}: {str(error) or type(error).__name__}"
