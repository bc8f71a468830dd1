"""Checksums of downloaded files: those that a publisher gives, and those that are kept beside a file of which
none is published.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from toolkit.errors import DownloadError, OutputError
from toolkit.registry.manifests import Download
from toolkit.runtime.files import atomic_write

logger = logging.getLogger("toolkit")


def digest_of(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file in hex; ``kind`` as hashlib names it."""
    with open(path, "rb") as file:
        # md5 is asked for by publishers, and systems that forbid it for security allow it so
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def published_fault(path: Path, download: Download) -> str:
    """In what a file differs from what is published of it, or an empty string."""
    size = path.stat().st_size
    if download.size is not None and size != download.size:
        return f"the file has {size:,} bytes instead of {download.size:,}"
    if download.published is None:
        return ""
    kind, digits = download.published
    found = digest_of(path, kind)
    if found.startswith(digits):
        return ""
    wanted = digits if download.is_pinned else f"one that begins with {digits}"
    return f"the file's {kind} is {found} instead of {wanted}"


def kept_file(target: Path) -> Path:
    """Where the sha256 of a file is kept of which its publisher gives none."""
    return target.with_name(f"{target.name}.sha256")


def kept_fault(path: Path, target: Path) -> str:
    """In what a file differs from the sha256 that was kept of it, or an empty string. Where none was, it is
    kept from now on, in the form of ``sha256sum``, and shown.

    Args:
        path: the file.
        target: where it is, or will be.

    Raises:
        DownloadError: when what was kept is no checksum.
    """
    found, kept = digest_of(path), kept_file(target)
    if kept.is_file():
        known = _read(kept)
        return "" if found == known else f"its sha256 is {found}, but {kept} has {known}"
    try:
        with atomic_write(kept, "w") as file:
            file.write(f"{found}  {target.name}\n")
    except OutputError as error:
        # a folder that is read by many and written by one: the file itself is as good as before
        logger.info(
            "%s: no checksum is published; its sha256 is %s, which could not be saved: %s",
            target,
            found,
            error,
        )
    else:
        logger.info(
            "%s: no checksum is published; its sha256 is %s, saved in %s and verified from now on",
            *(target, found, kept.name),
        )
    return ""


def _read(kept: Path) -> str:
    known = kept.read_text(encoding="utf-8", errors="replace").partition(" ")[0].strip()
    if not re.fullmatch(r"[0-9a-f]{64}", known):
        raise DownloadError(
            f"{kept} begins with {known[:80]!r} instead of a sha256, which has 64 hex digits. Hint: remove"
            " it, so that it is written again"
        )
    return known
