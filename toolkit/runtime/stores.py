"""Files in object stores and other file systems at addresses, such as ``s3://``, ``gs://`` and ``az://``, by
fsspec. Credentials are the affair of each protocol's own library, and are never shown.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.registry import known_implementations

from toolkit.errors import DownloadError, OutputError, UnavailableError, UsageError
from toolkit.runtime.remote import MAX_BYTES, is_url

ATTEMPTS = 5
"""Number of tries, if another try may help; the protocol's own library may try more often within each."""
BACKOFF = 0.5
"""Seconds before the second try; doubled each time."""

FIRST_SECONDS = 10.0
"""For how long a call is begun again if its store has never answered."""

_answered: set[str] = set()  # the hosts or buckets that have
_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
# Their contents could be modified in transit, or they are read by `toolkit.runtime.remote`.
_OTHERS = ("http", "https", "ftp")


@dataclass(frozen=True)
class StoredFile:
    """A file in a store.

    Attributes:
        url: its address.
        size: in bytes.
        modified: time of the last change, in nanoseconds; None if the store does not say.
    """

    url: str
    size: int
    modified: int | None


def is_store(word: str) -> bool:
    """Whether a word is an address of a kind that is read here."""
    return is_url(word) and scheme_of(word) in known_implementations and scheme_of(word) not in _OTHERS


def shown_url(url: str) -> str:
    """An address without a password, for messages and manifests."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def scheme_of(url: str) -> str:
    """The protocol of an address, such as ``s3``."""
    return url.partition("://")[0].lower()


def open_store(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path there.

    Raises:
        UnavailableError: when the library of its protocol is not installed; says which.
        UsageError: when the address is not valid, or the store cannot be set up, such as without credentials.
    """
    shown = shown_url(url)
    if "::" in url:
        raise UsageError(f"{shown} is a chain of addresses. Hint: give the address of the file itself")
    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        package = _EXTRAS.get(scheme_of(url), "")
        hint = f"pip install {package}" if package else str(error)
        raise UnavailableError(
            f"{shown} needs a library that is not installed ({error}). Hint: {hint}"
        ) from error
    except Exception as error:
        raise UsageError(f"{shown} cannot be opened: {_reason(error)}. Hint: check the address") from error


def read_store(url: str, *, limit: int = MAX_BYTES) -> bytes:
    """The content of a file in a store.

    Args:
        url: its address.
        limit: the maximum number of bytes.

    Raises:
        DownloadError: when it is not available or is too large; says which address and why.
    """
    size = stat_store(url).size
    if size > limit:
        raise DownloadError(
            f"{shown_url(url)} is larger than the {limit:,} bytes that are allowed. Hint: copy the file and"
            " give its path"
        )
    fs, path = _opened(url)
    data: bytes = tried(url, lambda: fs.cat_file(path))
    if len(data) < size:
        raise DownloadError(f"{shown_url(url)} was cut off or is being written. Hint: try again")
    return data


def stat_store(url: str) -> StoredFile:
    """Size and time of a file in a store.

    Raises:
        DownloadError: when it is not available, or is a folder.
    """
    fs, path = _opened(url)
    info = tried(url, lambda: fs.info(path))
    if info.get("type") == "directory":
        raise DownloadError(f"{shown_url(url)} is a folder. Hint: end its address with /")
    return StoredFile(url, int(info.get("size") or 0), _modified(info))


def walk_store(url: str) -> Iterator[StoredFile]:
    """The files of a folder in a store, at any depth, folder by folder, in the order of their names.

    Raises:
        DownloadError: when it cannot be listed.
    """
    fs, root = _opened(url)
    protocol = url.partition("://")[0]
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        entries = tried(url, lambda folder=folder: fs.ls(folder, detail=True, refresh=True))
        found = sorted(entries, key=lambda each: each["name"])
        # A store may list the marker of a folder in it.
        found = [each for each in found if each["name"].rstrip("/") != folder.rstrip("/")]
        waiting += reversed([each["name"] for each in found if each.get("type") == "directory"])
        for each in found:
            if each.get("type") != "directory":
                address = f"{protocol}://{each['name'].lstrip('/') if protocol != 'file' else each['name']}"
                yield StoredFile(address, int(each.get("size") or 0), _modified(each))


def _opened(url: str) -> tuple[Any, str]:
    try:
        return open_store(url)
    except (UnavailableError, UsageError) as error:
        raise DownloadError(str(error)) from None


def tried(url: str, call: Any) -> Any:
    """What a call returns, tried again if that may help. A store that has never answered to this process is
    given up after a shorter time, since its address may be wrong.

    Raises:
        DownloadError: when it fails each time; says which address and why.
    """
    error: BaseException | None = None
    store = host_and_path(url).partition("/")[0]
    end = math.inf if store in _answered else time.monotonic() + FIRST_SECONDS
    for attempt in range(ATTEMPTS):
        if attempt and time.monotonic() > end:
            break
        if attempt:
            time.sleep(BACKOFF * 2 ** (attempt - 1))
        try:
            found = call()
            _answered.add(store)
            return found
        except OutputError:  # of this machine, such as a full disk
            raise
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as problem:
            error = problem
            break
        except Exception as problem:  # each protocol has errors of its own
            error = problem
    assert error is not None
    missing = isinstance(error, FileNotFoundError)
    reason = "it does not exist" if missing else _reason(error)
    hint = "check the address" if missing else "check the address and your credentials, or try again"
    raise DownloadError(f"{shown_url(url)} cannot be read: {reason}. Hint: {hint}") from error


def _reason(error: BaseException) -> str:
    """An error in one line, without addresses that have a password."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return shown_url(first.rstrip(".")) or type(error).__name__


def _modified(info: dict[str, Any]) -> int | None:
    """The time of the last change, whatever the store calls it."""
    for name in ("LastModified", "last_modified", "mtime", "modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime.datetime):
            return int(value.timestamp() * 1_000_000_000)
        if isinstance(value, (int, float)):
            return int(value * 1_000_000_000)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return int(datetime.datetime.fromisoformat(value).timestamp() * 1_000_000_000)
    return None


def host_and_path(url: str) -> str:
    """``bucket/folder/name`` of an address."""
    parts = urlsplit(shown_url(url))
    return f"{parts.netloc}{parts.path}"
