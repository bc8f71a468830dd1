"""Small files from the web, straight into memory: the images that a command line names by their address."""

from __future__ import annotations

import http.client
import ipaddress
import re
import time
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import urlsplit

from toolkit.errors import DownloadError

MAX_BYTES = 1 << 28
"""The largest file that is fetched, 256 MiB; a server may say anything of its size, so it is counted."""

_CHUNK = 1 << 18
_PERMANENT = (400, 401, 403, 404, 405, 410)  # asking again does not help


def is_url(word: str) -> bool:
    """Whether a word is an address, rather than a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", word, re.IGNORECASE) is not None


def fetch_bytes(
    url: str, *, limit: int = MAX_BYTES, timeout: float = 30.0, attempts: int = 3, backoff: float = 1.0
) -> bytes:
    """What stands at an address.

    Args:
        url: https, or http on this machine itself; redirections lead to such addresses, too.
        limit: the most bytes that are taken.
        timeout: seconds without a byte after which a try counts as failed.
        attempts: how often to try where another try may help.
        backoff: seconds before the second try; doubled each time.

    Raises:
        DownloadError: when it cannot be had or is too large; says which address and why.
    """
    check_address(url)
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(backoff * 2 ** (attempt - 1))
        try:
            return _read(url, limit, timeout)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answered {error.code} {error.reason}"
            if error.code in _PERMANENT:
                break
        except urllib.error.URLError as error:
            reason = f"no connection: {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = f"the transfer broke off: {error or type(error).__name__}"
    raise DownloadError(
        f"{url} cannot be fetched: {reason}. Hint: check the address, or download the file and name its path"
    )


def check_address(url: str) -> None:
    """Refuse addresses whose contents anybody on the way could change.

    Raises:
        DownloadError: when it is neither https, nor http on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() == "https" and parts.hostname:
        return
    if parts.scheme.lower() == "http" and _is_this_machine(parts.hostname or ""):
        return
    raise DownloadError(
        f"{url} is not fetched: expected https://, or http:// on this machine. Hint: use the https:// one,"
        " or download the file and name its path"
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to addresses that would be taken by themselves."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(url: str, limit: int, timeout: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "toolkit", "Accept-Encoding": "identity"})
    data = bytearray()
    response: Any
    with urllib.request.build_opener(_CheckedRedirects()).open(request, timeout=timeout) as response:
        stated = response.headers.get("Content-Length", "")
        while chunk := response.read1(_CHUNK):
            data += chunk
            if len(data) > limit:
                raise DownloadError(
                    f"{url} is larger than the {limit:,} bytes that are fetched. Hint: download the file and"
                    " name its path"
                )
    if stated.isdecimal() and len(data) < int(stated):
        raise http.client.IncompleteRead(bytes(data[:0]), int(stated) - len(data))
    return bytes(data)
