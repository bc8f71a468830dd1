"""Checksums of downloaded files: those that a publisher gives, and those that are stored next to a file for
which none is published.
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
        # publishers use md5, and systems that forbid it for security allow it with this argument
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def published_fault(path: Path, download: Download) -> str:
    """How a file differs from what is published about it, or an empty string."""
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
    """Where the sha256 of a file is stored if its publisher gives none."""
    return target.with_name(f"{target.name}.sha256")


def kept_fault(path: Path, target: Path) -> str:
    """How a file differs from its stored sha256, or an empty string. If none was stored, it is logged and
    stored from now on, in the format of ``sha256sum``.

    Args:
        path: the file.
        target: where the file is, or will be.

    Raises:
        DownloadError: when the stored text is not a checksum.
    """
    found, kept = digest_of(path), kept_file(target)
    if kept.is_file():
        known = _read(kept)
        return "" if found == known else f"its sha256 is {found}, but {kept} has {known}"
    try:
        with atomic_write(kept, "w") as file:
            file.write(f"{found}  {target.name}\n")
    except OutputError as error:
        # a shared folder that only one user may write to: the file itself is still valid
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
