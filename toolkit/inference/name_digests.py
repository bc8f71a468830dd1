"""Millions of names in little memory: as numbers of 64 bits.

Among a million names, the chance that any two have the same number is one in 37 million.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def digest_of(name: str) -> int:
    """A number for a name, never 0."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def digests_of(names: Iterable[str]) -> NDArray[np.uint64]:
    """Those of all names, uint64 ``[N]``."""
    return np.frombuffer(array("Q", map(digest_of, names)), dtype=np.uint64)


class NameSet:
    """Names that have been seen, at 16 to 32 bytes each (a set of strings takes 150)."""

    def __init__(self) -> None:
        self._slots, self._count = array("Q", [0]) * 1024, 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str) -> bool:
        """Add a name; returns whether it is new."""
        if 2 * self._count >= len(self._slots):
            self._grow()
        digest = digest_of(name)
        place = self._place(digest)
        if self._slots[place]:
            return False
        self._slots[place] = digest
        self._count += 1
        return True

    def _place(self, digest: int) -> int:
        """Where a number is, or would be (linear probing)."""
        slots, mask = self._slots, len(self._slots) - 1
        place = digest & mask
        while slots[place] and slots[place] != digest:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("Q", [0]) * (2 * len(before))
        for digest in before:
            if digest:
                self._slots[self._place(digest)] = digest
