"""Files that are published somewhere, and what is published about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.errors import UsageError

CHECKSUM_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}
"""Kinds of checksums that publishers give -> hex digits of a complete one."""


@dataclass(frozen=True)
class Download:
    """One file of a dataset, or of weights.

    What the publisher does not give is left empty: the transfer is then checked against the size that the
    server reports, and the file's sha256 is stored next to it and checked from then on.

    Attributes:
        url: its address.
        sha256: the published checksum of the whole file, in hex.
        size: the published size in bytes.
        filename: what to call it; the last part of the path in ``url`` when empty.
        checksum: a published checksum of another kind, or the first digits of one, as ``"kind:digits"``:
            ``"md5:f10217"`` for ``model_final_f10217.pkl``. Kinds are md5, sha1 and sha256; at least six
            digits are required.
        subfolder: the folder of an archive that is unpacked, if the archive contains other things as well;
            the whole archive when empty.
        max_ratio: how many times its own size an archive may unpack to; more than that is refused, unless it
            is at most 64 MiB.

    Raises:
        UsageError: when the address, the name or a checksum is not valid.
    """

    url: str
    sha256: str | None = None
    size: int | None = None
    filename: str = ""
    checksum: str = ""
    subfolder: str = ""
    max_ratio: float = 100

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise UsageError(f"Download {self.url}: the address must begin with https:// or http://")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise UsageError(f"Download {self.url}: sha256 must be 64 hex digits, not {self.sha256!r}")
        if self.checksum and self.sha256 is not None:
            raise UsageError(f"Download {self.url}: give sha256 or checksum, not both")
        kind, _, digits = self.checksum.partition(":")
        if self.checksum and not (
            kind in CHECKSUM_DIGITS
            and 6 <= len(digits) <= CHECKSUM_DIGITS[kind]
            and re.fullmatch(r"[0-9a-f]+", digits)
        ):
            raise UsageError(
                f"Download {self.url}: checksum must read 'kind:digits', such as 'md5:f10217', with one of"
                f" {', '.join(CHECKSUM_DIGITS)} and six hex digits or more, not {self.checksum!r}"
            )
        if self.name in ("", ".", "..") or re.search(r"[/\\]", self.name):
            raise UsageError(f"Download {self.url}: {self.name!r} is not a file name. Hint: set filename")

    @property
    def name(self) -> str:
        """The file's name on disk."""
        return self.filename or urlsplit(self.url).path.rsplit("/", 1)[-1]

    @property
    def published(self) -> tuple[str, str] | None:
        """Kind and digits of the published checksum, which may be only the first digits; None if none is
        published.
        """
        if self.sha256 is not None:
            return "sha256", self.sha256
        kind, _, digits = self.checksum.partition(":")
        return (kind, digits) if digits else None

    @property
    def is_pinned(self) -> bool:
        """Whether a complete checksum is published, so that no other file can pass for this one."""
        return self.published is not None and len(self.published[1]) == CHECKSUM_DIGITS[self.published[0]]

    @property
    def facts(self) -> str:
        """What is published about the file, as text: its size and its checksum; empty when neither is."""
        facts = [] if self.size is None else [f"{self.size:,} bytes"]
        if self.published is not None:
            kind, digits = self.published
            facts.append(f"{kind} {digits}{'' if self.is_pinned else '…'}")
        return ", ".join(facts)
