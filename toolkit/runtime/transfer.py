"""A single attempt to download a file over HTTP, or the rest of a partially downloaded one."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from toolkit.errors import OutputError
from toolkit.registry.manifests import Download
from toolkit.runtime.files import atomic_write, open_to_append
from toolkit.runtime.http_requests import CHUNK, connect, is_permanent, reason_of, request

if TYPE_CHECKING:
    from email.message import Message

    from rich.progress import Progress, TaskID


class BrokenOffError(Exception):
    """The transfer broke off; another try may help."""


class RefusedError(Exception):
    """The file is not available there, no matter how often one tries."""


@dataclass(frozen=True)
class Known:
    """What the server said about the partially downloaded file.

    Attributes:
        url: the address that the part came from.
        validator: the ETag, or else the date of the last change, with which the server can confirm that the
            rest is of the same file; empty when it gives neither.
        size: size of the whole file in bytes; None when the server does not report it.
    """

    url: str
    validator: str = ""
    size: int | None = None

    @classmethod
    def of(cls, url: str, headers: Message) -> Known:
        """From the response that delivers the whole file."""
        etag = headers.get("ETag", "")
        # a weak ETag stands for files that are equivalent, not identical
        validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        return cls(url, validator, _number(headers.get("Content-Length")))

    @classmethod
    def read(cls, part: Path, url: str) -> Known:
        """Read what was written next to a ``.part`` file; None if that is missing, damaged or for another
        address.
        """
        try:
            content = json.loads(known_file(part).read_text(encoding="utf-8"))
            known = cls(content["url"], str(content["validator"]), _number(str(content["size"])))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(url)
        return known if known.url == url else cls(url)

    def write(self, part: Path) -> None:
        """Write it next to a ``.part`` file."""
        with atomic_write(known_file(part), "w") as file:
            json.dump(asdict(self), file)


def known_file(part: Path) -> Path:
    """Where ``Known`` is stored next to a ``.part`` file."""
    return part.with_name(f"{part.name}.json")


def discard(part: Path) -> None:
    """Remove a ``.part`` file and what is known about it."""
    part.unlink(missing_ok=True)
    known_file(part).unlink(missing_ok=True)


def transfer(download: Download, part: Path, timeout: float) -> None:
    """Download the missing rest of a ``.part`` file.

    A part is only continued if the server says that the rest is of the same file, or if a complete published
    checksum will verify the result.

    Raises:
        BrokenOffError: when another try may help.
        RefusedError: when no other try can help.
        OutputError: when the disk has no room for the file.
        OSError: when it cannot be written.
    """
    known, have = Known.read(part, download.url), part.stat().st_size if part.exists() else 0
    size = known.size if download.size is None else download.size
    if have and have == size:
        return
    if (size is not None and have > size) or not (known.validator or download.is_pinned):
        have = 0
    with _connected(_headers(have, known), download.url, timeout, part) as response:
        if have and response.status == 206:
            total = _check_rest(response.headers, part, have, known)
        else:
            _check_kind(download, response.headers)
            have, known = 0, Known.of(download.url, response.headers)
            part.unlink(missing_ok=True)
            known.write(part)
            total = known.size
        size = total if download.size is None else download.size
        _check_space(part, 0 if size is None else size - have)
        with open_to_append(part) as file:
            _receive(response, file, download, have, size)
    arrived = part.stat().st_size
    if size is not None and arrived < size:
        raise BrokenOffError(f"the connection closed after {arrived:,} of {size:,} bytes")


def _headers(have: int, known: Known) -> dict[str, str]:
    """The headers that request the rest of a file."""
    if not have:
        return {}
    wanted = {"Range": f"bytes={have}-"}
    return wanted | ({"If-Range": known.validator} if known.validator else {})


def _receive(
    response: http.client.HTTPResponse, file: IO[bytes], download: Download, have: int, size: int | None
) -> None:
    with _progress(download.name, have, size) as (progress, task):
        while chunk := _read(response):
            file.write(chunk)
            progress.advance(task, len(chunk))
            if size is not None and file.tell() > size:
                return  # longer than it may be; the size check reports it


def _check_rest(headers: Message, part: Path, have: int, known: Known) -> int | None:
    """The size of the whole file, if a partial response gives it.

    Raises:
        BrokenOffError: when it is not the rest of the partially downloaded file, which is then removed; some
            servers send a part no matter what was requested.
    """
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    total = _number(found[2]) if found else None
    etag = headers.get("ETag", "")
    is_rest = (
        found is not None
        and int(found[1]) == have
        and (total is None or known.size is None or total == known.size)
        and (not etag or not known.validator.startswith('"') or etag == known.validator)
    )
    if not is_rest:
        discard(part)
        raise BrokenOffError("the file on the server has changed since the download began")
    return total


def _check_kind(download: Download, headers: Message) -> None:
    """Refuse a sign-in or error page that is sent instead of a file if no checksum would detect it."""
    if download.published is None and headers.get_content_type() == "text/html":
        raise RefusedError("the server sent a web page instead of the file")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OutputError(
            f"{part} needs {needed:,} bytes more, but only {free:,} are free there. Hint: free some space, or"
            " choose another folder"
        )


def _stay_secure(url: str, new: str) -> None:
    """Follow no redirect that leaves HTTPS, since the content could then be modified in transit."""
    if url.startswith("https:") and not new.startswith("https:"):
        raise RefusedError(f"the server redirects from HTTPS to {new}")


@contextmanager
def _connected(
    headers: dict[str, str], url: str, timeout: float, part: Path
) -> Iterator[http.client.HTTPResponse]:
    try:
        response = connect(request(url, **headers), timeout, _stay_secure)
    except (OSError, http.client.HTTPException) as error:
        reason = reason_of(error, "no connection")
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            if error.code == 416:
                # the file on the server is smaller than the part here, so this is a part of something else
                discard(part)
        raise (RefusedError if is_permanent(error) else BrokenOffError)(reason) from error
    with response:
        yield response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOffError(reason_of(error, "the transfer was interrupted")) from error


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


@contextmanager
def _progress(name: str, have: int, size: int | None) -> Iterator[tuple[Progress, TaskID]]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from toolkit.runtime.terminal import Terminal

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Terminal(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(name, total=size, completed=have)
