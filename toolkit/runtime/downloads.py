"""Downloads with progress, resume and checksum, and where published weights are kept."""

from __future__ import annotations

import logging
import os
import random
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from toolkit.errors import DownloadError
from toolkit.registry.manifests import Download
from toolkit.runtime.checksums import kept_fault, kept_file, published_fault
from toolkit.runtime.files import output_error, publish
from toolkit.runtime.locks import waiting_for
from toolkit.runtime.transfer import BrokenOffError, RefusedError, discard, known_file, transfer

logger = logging.getLogger("toolkit")

CONNECT_SECONDS = 5.0
"""Seconds within which a server must answer. The hub's own client tries for 23 seconds when there is no
network.
"""
_TIMEOUT = 30.0  # seconds without a byte


def fetch(
    download: Download,
    folder: str | Path,
    *,
    attempts: int = 4,
    backoff: float = 1.0,
    timeout: float = _TIMEOUT,
    instead: str = "",
) -> Path:
    """Download a file, unless it already exists.

    Received data is kept in ``<name>.part`` until the file is complete, so an interrupted download continues
    where it stopped, in this call and in later ones. A file is checked against everything that is published
    about it. If no checksum is published, it is checked against the size that the server reports, and the
    file's sha256 is logged, stored in ``<name>.sha256`` and checked in later calls. Processes that fetch the
    same file wait for each other.

    Args:
        download: the address, with the size and checksum that are published.
        folder: the destination; it is created if missing.
        attempts: number of tries before giving up.
        backoff: seconds before the second try; doubled each time, with up to half as much again at random.
        timeout: seconds without a byte after which a try counts as failed.
        instead: what else to do if the file is not available, for the message.

    Returns:
        The path of the file.

    Raises:
        DownloadError: when it is not available (says which address, what failed, and where to put which file
            by hand), or when it differs from the file that was fetched before.
        OutputError: when the file cannot be written.
    """
    target = Path(folder) / download.name
    if _is_there(target, download):
        return target
    part, is_new = target.with_name(target.name + ".part"), not target.parent.exists()
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with waiting_for(target, f"downloading {target}"):
            # another process may have fetched it in the meantime
            if _is_there(target, download):
                return target
            logger.info("downloading %s", download.url)
            if download.url.startswith("http://") and not download.is_pinned:
                logger.warning(
                    "it is transferred over plain HTTP without a full checksum, so others could modify it"
                )
            reason = _fetch(download, part, attempts, backoff, timeout)
            if reason:
                raise DownloadError(_by_hand(download, target, reason, instead))
            if download.published is None:
                _check_again(download, part, target)
            publish(part, target)
            known_file(part).unlink(missing_ok=True)
    except OSError as error:
        raise output_error(part, error) from error
    finally:
        if is_new:
            # an empty folder would look like a dataset whose files are missing
            with suppress(OSError):
                part.parent.rmdir()
    return target


def _is_there(target: Path, download: Download) -> bool:
    """Whether a file need not be fetched.

    Raises:
        DownloadError: when it has changed.
    """
    if not target.is_file():
        return False
    if reason := published_fault(target, download):
        logger.info("%s is not the published file and is replaced: %s", target, reason)
        return False
    if download.published is None and (reason := kept_fault(target, target)):
        raise DownloadError(
            f"{target} has changed since it was downloaded: {reason}. Hint: remove {target} to download it"
            f" again; or, to keep the file as it is, remove {kept_file(target)}"
        )
    return True


def _check_again(download: Download, part: Path, target: Path) -> None:
    """Compare a file with the one that was fetched from the same address before, if any."""
    if reason := kept_fault(part, target):
        discard(part)
        raise DownloadError(
            f"{download.url} is not the file that was downloaded from there before: {reason}. Hint: if its"
            f" publisher has changed it, remove {kept_file(target)} and try again"
        )


def _fetch(download: Download, part: Path, attempts: int, backoff: float, timeout: float) -> str:
    """Fill the ``.part`` file; returns why it failed, or an empty string."""
    failures, best, reason = 0, 0, ""
    while failures < attempts:
        if failures:
            time.sleep(backoff * 2 ** (failures - 1) * (1 + random.random() / 2))
        resumed = part.exists()
        try:
            transfer(download, part, timeout)
        except BrokenOffError as error:
            reason = f"{error} (tried {attempts} times)"
        except RefusedError as error:
            return str(error)
        else:
            reason = published_fault(part, download)
            if not reason:
                return ""
            discard(part)
            if not resumed:  # it was not pieced together, so it is the wrong file and would be again
                return reason
        have = part.stat().st_size if part.exists() else 0
        # an unstable connection that makes progress is not given up
        failures = 0 if have > best else failures + 1
        best = max(best, have)
    return reason


def _by_hand(download: Download, target: Path, reason: str, instead: str) -> str:
    return (
        f"{download.url} could not be downloaded: {reason}.\nHint: try again later (the partial download is"
        f" kept), or download the file elsewhere and put it at {target.resolve()}"
        + (f" ({download.facts})" if download.facts else "")
        + ", then run the command again"
        + (f"; or {instead}" if instead else "")
    )


def check_reachable(address: str) -> None:
    """Raise ``OSError`` when nothing answers within ``CONNECT_SECONDS``; any answer will do."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=CONNECT_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass


def from_hub(repository: str, filename: str, *, revision: str | None = None, hint: str) -> Path:
    """The path of a file of the Hugging Face Hub, from the hub's cache if it is there.

    Args:
        repository: ``owner/name``.
        filename: the path in the repository.
        revision: commit, branch or tag; None is the main branch.
        hint: what to do if it is not available, for the message.

    Raises:
        DownloadError: when it is not available.
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
            f"{filename} of {repository} cannot be downloaded from {hub.constants.ENDPOINT}: {error}. Hint:"
            f" {hint}"
        ) from error


def weights_folder() -> Path:
    """Where published weights are kept after they are downloaded: ``$TOOLKIT_WEIGHTS``, else
    ``~/.cache/toolkit/weights``.
    """
    named = os.environ.get("TOOLKIT_WEIGHTS")
    return Path(named) if named else Path.home() / ".cache" / "toolkit" / "weights"
