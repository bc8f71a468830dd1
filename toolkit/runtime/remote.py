"""Downloads small files into memory: images that a command line names by their URL."""

from __future__ import annotations

import http.client
import ipaddress
import re
import time
import urllib.error
from urllib.parse import urlsplit

from toolkit.errors import DownloadError
from toolkit.runtime.http_requests import CHUNK, connect, is_permanent, reason_of, request

MAX_BYTES = 1 << 28
"""The largest file that is fetched, 256 MiB; a server may report any size, so bytes are counted."""


def is_url(word: str) -> bool:
    """Whether a word is a URL rather than a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", word, re.IGNORECASE) is not None


def fetch_bytes(
    url: str, *, limit: int = MAX_BYTES, timeout: float = 30.0, attempts: int = 3, backoff: float = 1.0
) -> bytes:
    """The content at an address.

    Args:
        url: https, or http on this machine itself; the same applies to redirects.
        limit: the maximum number of bytes.
        timeout: seconds without a byte after which a try counts as failed.
        attempts: number of tries if another try may help.
        backoff: seconds before the second try; doubled each time.

    Raises:
        DownloadError: when it is not available or is too large; says which address and why.
    """
    check_address(url)
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(backoff * 2 ** (attempt - 1))
        try:
            return _read(url, limit, timeout)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = reason_of(error, "the transfer was interrupted")
            if is_permanent(error):
                break
    raise DownloadError(
        f"{url} cannot be downloaded: {reason}. Hint: check the address, or download the file and give its"
        " path"
    )


def check_address(url: str) -> None:
    """Refuse addresses whose contents could be modified in transit.

    Raises:
        DownloadError: when it is neither https, nor http on this machine.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not form an IPv6 address
        parts = urlsplit("")
    if parts.scheme.lower() == "https" and parts.hostname:
        return
    if parts.scheme.lower() == "http" and _is_this_machine(parts.hostname or ""):
        return
    raise DownloadError(
        f"{url} will not be downloaded: expected https://, or http:// on this machine. Hint: use the"
        " https:// one, or download the file and give its path"
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _follow(_: str, url: str) -> None:
    """Redirects may only lead to addresses that would be accepted themselves."""
    check_address(url)


def _read(url: str, limit: int, timeout: float) -> bytes:
    data = bytearray()
    with connect(request(url), timeout, _follow) as response:
        stated = response.headers.get("Content-Length", "")
        while chunk := response.read1(CHUNK):
            data += chunk
            if len(data) > limit:
                raise DownloadError(
                    f"{url} is larger than the {limit:,} bytes that are allowed. Hint: download the file"
                    " and give its path"
                )
    if stated.isdecimal() and len(data) < int(stated):
        raise http.client.IncompleteRead(bytes(data[:0]), int(stated) - len(data))
    return bytes(data)
