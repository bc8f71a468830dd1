"""Downloads: with progress, resume and checksum; and unpacking that trusts no archive.

Proxies are taken from ``http_proxy``, ``https_proxy`` and ``no_proxy``, as usual.
"""

from __future__ import annotations

import hashlib
import http.client
import lzma
import os
import random
import shutil
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from toolkit.errors import DownloadError, OutputError
from toolkit.registry.manifests import Download
from toolkit.runtime.files import output_error

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

CONNECT_SECONDS = 5.0
"""How long a server may take to answer at all. The hub's own client tries for 23 seconds when there is no
network.
"""
_CHUNK = 2**18
_TIMEOUT = 30.0  # seconds without a byte
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_PERMANENT = (400, 401, 403, 404, 405, 410)  # asking again does not help


class _InterruptedError(Exception):
    """The transfer broke off; worth another try."""


def fetch(
    download: Download,
    folder: str | Path,
    *,
    attempts: int = 4,
    backoff: float = 1.0,
    timeout: float = _TIMEOUT,
) -> Path:
    """Download a file, unless it is there already with the right checksum.

    What arrives is kept in ``<name>.part`` until its size and checksum are right, so an interrupted download
    goes on where it stopped, in this call and in later ones.

    Args:
        download: the address, size and checksum.
        folder: where to; it is made when missing.
        attempts: how often to try before giving up.
        backoff: seconds before the second try; doubled each time, with up to half as much again at random.
        timeout: seconds without a byte after which a try counts as failed.

    Returns:
        The path of the file.

    Raises:
        DownloadError: when it cannot be had; says which address, what failed, and which file to put where by
            hand.
        OutputError: when the file cannot be written.
    """
    target = Path(folder) / download.name
    if target.is_file() and not _fault(target, download):
        return target
    part = target.with_name(target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        reason = _fetch(download, part, attempts, backoff, timeout)
        if reason:
            raise DownloadError(_by_hand(download, target, reason))
        part.replace(target)
    except urllib.error.HTTPError as error:
        raise DownloadError(
            _by_hand(download, target, f"the server answered {error.code} {error.reason}")
        ) from error
    except OSError as error:
        raise output_error(part, error) from error
    return target


def _fetch(download: Download, part: Path, attempts: int, backoff: float, timeout: float) -> str:
    """Fill the ``.part`` file; why it failed, or an empty string."""
    failures, best, reason = 0, 0, ""
    while failures < attempts:
        if failures:
            time.sleep(backoff * 2 ** (failures - 1) * (1 + random.random() / 2))
        resumed = part.exists()
        try:
            _transfer(download, part, timeout)
        except _InterruptedError as error:
            reason = f"{error} (tried {attempts} times)"
        else:
            reason = _fault(part, download)
            if not reason:
                return ""
            part.unlink()
            if not resumed:  # it came in one piece, so it is the wrong file, and would be again
                return reason
        have = part.stat().st_size if part.exists() else 0
        failures = 0 if have > best else failures + 1  # a shaky line that gets on is not given up
        best = max(best, have)
    return reason


def _transfer(download: Download, part: Path, timeout: float) -> None:
    """Fetch what is missing of the ``.part`` file.

    Raises:
        _InterruptedError: when another try may help.
        urllib.error.HTTPError: when it may not.
    """
    have = part.stat().st_size if part.exists() else 0
    if have == download.size:
        return
    if have > download.size:
        have = 0
    request = urllib.request.Request(
        download.url, headers={"User-Agent": "toolkit", "Accept-Encoding": "identity"}
    )
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _connected(request, timeout, part) as response:
        if response.status != 206:
            have = 0  # the server sends the whole file, whatever was asked for
        with open(part, "ab" if have else "wb") as file, _progress(download, have) as (progress, task):
            while chunk := _read(response):
                file.write(chunk)
                progress.advance(task, len(chunk))
                if file.tell() > download.size:
                    return  # longer than it may be: the check of the size says so
    arrived = part.stat().st_size
    if arrived < download.size:
        raise _InterruptedError(f"the connection closed after {arrived:,} of {download.size:,} bytes")


@contextmanager
def _connected(
    request: urllib.request.Request, timeout: float, part: Path
) -> Iterator[http.client.HTTPResponse]:
    try:
        response = urllib.request.build_opener().open(
            request, timeout=timeout
        )  # urlopen would remember the first call's proxies
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _PERMANENT:
            raise
        if (
            error.code == 416
        ):  # there is less on the server than is here already, so this is a part of something else
            part.unlink(missing_ok=True)
        raise _InterruptedError(f"the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _InterruptedError(f"no connection: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(f"no connection: {error or type(error).__name__}") from error
    with response:
        yield response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(f"the transfer broke off: {error or type(error).__name__}") from error


@contextmanager
def _progress(download: Download, have: int) -> Iterator[tuple[Progress, TaskID]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(download.name, total=download.size, completed=have)


def _fault(path: Path, download: Download) -> str:
    """What is wrong with a file, or an empty string."""
    size = path.stat().st_size
    if size != download.size:
        return f"the file has {size:,} bytes instead of {download.size:,}"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if digest == download.sha256 else f"the file's sha256 is {digest} instead of {download.sha256}"


def _by_hand(download: Download, target: Path, reason: str) -> str:
    return (
        f"{download.url} could not be downloaded: {reason}.\nRepair: try again later (what has arrived is"
        f" kept), or fetch the file elsewhere and put it at {target.resolve()}\nIt must have"
        f" {download.size:,} bytes and the sha256 {download.sha256}"
    )


def check_reachable(address: str) -> None:
    """Raise ``OSError`` when nothing answers within ``CONNECT_SECONDS``; any answer at all will do."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=CONNECT_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass


def from_hub(repository: str, filename: str, *, revision: str | None = None, hint: str) -> Path:
    """The path of a file of the Hugging Face Hub, from the hub's cache where it is there.

    Args:
        repository: ``owner/name``.
        filename: in the repository.
        revision: commit, branch or tag; None is the main branch.
        hint: what to do where it cannot be had, for the message.

    Raises:
        DownloadError: when it cannot be had.
    """
    import huggingface_hub as hub

    try:
        try:
            return Path(hub.hf_hub_download(repository, filename, revision=revision, local_files_only=True))
        except hub.errors.LocalEntryNotFoundError:
            check_reachable(hub.constants.ENDPOINT)
            return Path(hub.hf_hub_download(repository, filename, revision=revision))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise DownloadError(
            f"{filename} of {repository} cannot be fetched from {hub.constants.ENDPOINT}: {error}. Hint:"
            f" {hint}"
        ) from error


def weights_folder() -> Path:
    """Where published weights are kept once they are fetched: ``$TOOLKIT_WEIGHTS``, else
    ``~/.cache/toolkit/weights``.
    """
    named = os.environ.get("TOOLKIT_WEIGHTS")
    return Path(named) if named else Path.home() / ".cache" / "toolkit" / "weights"


def is_archive(path: str | Path) -> bool:
    """Whether ``unpack`` takes a file, by its name."""
    return str(path).lower().endswith(_ARCHIVES)


def unpack(archive: str | Path, folder: str | Path) -> None:
    """Unpack a zip or tar archive into a folder, as a whole or not at all; files of the same name are
    replaced.

    Nothing is unpacked from an archive with paths that lead out of the folder, links that do, or devices.

    Raises:
        DownloadError: when the archive is hostile or damaged; names the file and the member.
        OutputError: when the files cannot be written, or the disk is too small for them.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
            if archive.name.lower().endswith(".zip"):
                _unpack_zip(archive, Path(temporary))
            else:
                _unpack_tar(archive, Path(temporary))
            shutil.copytree(temporary, folder, symlinks=True, copy_function=shutil.move, dirs_exist_ok=True)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DownloadError(
            f"{archive} is damaged, or not an archive: {error}. Hint: remove it and download it again"
        ) from error
    except OSError as error:
        raise output_error(folder, error) from error


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        members = bundle.infolist()
        for member in members:
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or ":" in member.filename.split("/")[0]:
                raise DownloadError(_hostile(archive, member.filename, "leads out of the folder"))
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DownloadError(_hostile(archive, member.filename, "is a link"))
        _check_space(archive, folder, sum(member.file_size for member in members))
        bundle.extractall(folder)


def _unpack_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as bundle:
        _check_space(archive, folder, sum(member.size for member in bundle.getmembers()))
        try:
            bundle.extractall(
                folder, filter="data"
            )  # PEP 706: no paths or links to the outside, no devices, no odd permissions
        except tarfile.FilterError as error:
            raise DownloadError(_hostile(archive, error.tarinfo.name, str(error))) from error


def _hostile(archive: Path, member: str, reason: str) -> str:
    return (
        f"{archive} is not safe to unpack: its member {member!r} {reason}. Nothing was unpacked. Hint: get"
        " it from its publisher"
    )


def _check_space(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{archive} unpacks to {needed:,} bytes, but only {free:,} are free at {folder.parent}. Hint:"
            " free some space"
        )
